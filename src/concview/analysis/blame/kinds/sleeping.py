"""It sleeps: as a pause of its own choice, or as a part of what it does (a stand-in for work, a retry).

A pause of its own is in a loop of its own or in the outermost function of a thread. Never in the task of a pool, never
under an event loop, never with something that is to be given back in the same round: there it is somebody's work.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import TASKS, among
from concview.model import Stack, State


@lru_cache(8192)
def in_task(stack: Stack) -> bool:
    return any(among(f, TASKS) for f in stack.frames)


class Sleeping:
    order: ClassVar[int] = 32
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.state is State.SLEEP

    def follow(self, waiter: Waiter) -> Root:
        return waiter.end(End.PACE if self._paces(waiter) else End.SLEEP, "sleeps")

    @staticmethod
    def _paces(waiter: Waiter) -> bool:
        look = waiter.look
        if in_task(look.stack):
            return False
        if not look.own:
            return True  # the standard library's own pause
        innermost = look.own[0]
        # Of the frame that sleeps, whoever's it is: what it has to give back others may wait for.
        if waiter.world.file(innermost.file).pauses(innermost.function, innermost.line):
            return True
        return waiter.tid == waiter.world.main and look.own[-1] is innermost


KIND = Sleeping()

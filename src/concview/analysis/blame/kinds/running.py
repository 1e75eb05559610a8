"""It runs."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root, place_of
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import EVENT_LOOPS, among
from concview.model import Stack, State


class Running:
    order: ClassVar[int] = 10
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        return look.state is State.RUNNING

    def follow(self, waiter: Waiter) -> Root:
        stack = waiter.look.stack
        if _in_the_loop_itself(stack):  # on which of its lines says nothing
            return Root(End.CPU, "runs the event loop itself", place_of(stack.user_leaf))
        return waiter.end(End.CPU, "runs")


def _in_the_loop_itself(stack: Stack) -> bool:
    """Whether no code of the program's own is in the callback that an event loop is in, if it is in one."""
    for frame in stack.frames:
        if frame is stack.user_leaf:
            return False
        if among(frame, EVENT_LOOPS):
            return True
    return False


KIND = Running()

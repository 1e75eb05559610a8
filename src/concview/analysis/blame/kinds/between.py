"""An Event, a Condition, a Barrier of multiprocessing: any process that has it may give what is waited for.

Each is made of semaphores in shared memory, which say nothing of who will give them. Which of the processes do anything
at all, `check --tree` sees.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import between_processes
from concview.source.calls import PROCESSES_JOIN

_TO_COME = {"Event": "to be set", "Condition": "to be notified", "Barrier": "to be reached by others"}


class Between:
    order: ClassVar[int] = 57
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via != PROCESSES_JOIN and bool(between_processes(look.stack))

    def follow(self, waiter: Waiter) -> Root:
        kind = between_processes(waiter.look.stack)
        asks = next((f for f in waiter.look.own if f.origin == "user"), None)
        calls = waiter.world.file(asks.file).calls_on(asks.function, asks.line) if asks is not None else []
        on = next((c.on for c in calls if c.method in ("wait", "wait_for") and c.on), "")
        return waiter.end(End.PEER, f"{f'{on}, a' if on else 'a'} multiprocessing.{kind}, {_TO_COME[kind]}")


KIND = Between()

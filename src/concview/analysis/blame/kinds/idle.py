"""It waits for work, in a place that is known for that: a pool's worker, an event loop, accept, a signal."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.classify import waits_for_work
from concview.model import State, WaitKind


class Idle:
    order: ClassVar[int] = 41
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        if look.state is not State.IDLE:
            return False
        return look.wait.kind is not WaitKind.FUTEX or waits_for_work(look.stack) or not look.stack.frames

    def follow(self, waiter: Waiter) -> Root:
        return waiter.end(End.IDLE, waiter.look.reason)


KIND = Idle()

"""Inside native code: in a futex that is no Python lock. For whom, the kernel does not say."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import WaitKind


class Native:
    order: ClassVar[int] = 70
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        return look.wait.kind is WaitKind.FUTEX

    def follow(self, waiter: Waiter) -> Root:
        return waiter.end(End.UNEXPLAINED, "waits inside native code: for what cannot be read")


KIND = Native()

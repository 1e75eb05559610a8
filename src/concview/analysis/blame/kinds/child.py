"""It waits for a child process."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import WaitKind


class Child:
    order: ClassVar[int] = 35
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        peer = look.wait.peer
        return look.wait.kind is WaitKind.CHILD or look.via == "child" or (peer is not None and peer.kind == "process")

    def follow(self, waiter: Waiter) -> Root:
        peer = waiter.wait.peer
        return waiter.end(End.CHILD, f"process {peer.name}" if peer is not None else "a child process")


KIND = Child()

"""Memory that its cgroup may not have: the kernel lets a thread wait that asks for more."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import WaitKind


class Memory:
    order: ClassVar[int] = 33
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        return look.wait.kind is WaitKind.MEMORY

    def follow(self, waiter: Waiter) -> Root:
        return waiter.end(End.MEMORY, "memory: its cgroup is at the limit")


KIND = Memory()

"""It wants a CPU and has none."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import State


class Starved:
    order: ClassVar[int] = 11
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        return look.state is State.RUNNABLE

    def follow(self, waiter: Waiter) -> Root:
        return waiter.end(End.STARVED, "waits for a CPU")


KIND = Starved()

"""It runs."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import State


class Running:
    order: ClassVar[int] = 10
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        return look.state is State.RUNNING

    def follow(self, waiter: Waiter) -> Root:
        return waiter.end(End.CPU, "runs")


KIND = Running()

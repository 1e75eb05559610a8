"""What we may spend, and what we have spent: CPU time of this process against a share of one core.

The rate follows the cost of the last second (`pace`); this account is what makes the promise hold in between: whoever
has spent more than was earned waits until it is paid back, however few samples that leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: What is earned and not spent is kept for so long: a burst (threads are born, names are read) may use it.
SAVED_NS = 500_000_000
#: What is owed is forgotten beyond so much: a machine that was suspended, a file system that hung.
OWED_NS = 2_000_000_000


class Budget:
    """`percent` of one core. Times in nanoseconds; `clock` is CPU time used so far."""

    def __init__(self, percent: float, clock: Callable[[], int] = time.process_time_ns) -> None:
        self.percent = percent
        self._clock = clock
        self._at = self._cpu = 0
        self.balance = 0  #: CPU time that may be spent now; negative: that was spent too much
        self._begun = False

    def begin(self, now_ns: int) -> None:
        """From here on it counts; nothing is owed."""
        self._at, self._cpu, self.balance, self._begun = now_ns, self._clock(), 0, True

    def settle(self, now_ns: int) -> int:
        """Book what was earned and spent since the last call; the CPU time spent."""
        cpu = self._clock()
        spent, self._cpu = cpu - self._cpu, cpu
        earned = self.earned(now_ns - self._at)
        self._at = now_ns
        if self._begun:
            balance = self.balance + earned - spent
            self.balance = max(min(balance, self.earned(SAVED_NS)), -self.earned(OWED_NS))
        return spent

    def earned(self, elapsed_ns: int) -> int:
        """What so much time is worth."""
        return int(elapsed_ns * self.percent / 100)

    def paid_back(self, now_ns: int) -> int:
        """The moment at which nothing is owed any more: now, or later."""
        return now_ns if self.balance >= 0 else now_ns + int(-self.balance * 100 / self.percent)

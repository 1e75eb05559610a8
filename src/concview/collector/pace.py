"""When to sample next, and how fast the budget allows."""

from __future__ import annotations

import random

#: Never slower than this, whatever the budget: below it a window has too few samples to say anything.
MIN_HZ = 10.0
#: The same where an engine can look at a part of the threads in each sample.
PARTS_HZ = 20.0
#: ... and has never looked at most of them yet.
FILL_HZ = 5.0
#: How fast the rate recovers per second when there is room, and how much room there must be.
RECOVERY = 1.25
ROOM = 0.85
_GAPS = 128
#: A rate is told when it is below this share of the one told last; forgotten when the rate asked for has been kept for
#: so many seconds. Else one that goes up and down would be told all the time.
TELLING, STEADY = 0.8, 10


class Pace:
    """Jittered moments: gaps are uniform in 0.5..1.5 of the interval, so that a periodic workload cannot alias.

    Times in nanoseconds of CLOCK_MONOTONIC, rates in Hz, cost and budget in percent of one core.
    """

    def __init__(self, rate_hz: float, budget_percent: float, seed: int | None = None) -> None:
        self.asked_hz = self.target_hz = self._told_hz = rate_hz
        self.budget = budget_percent
        self.least_hz = MIN_HZ
        self.misses = 0
        self.held_ns = 0  #: for how long samples were put off because the budget had no room, in total
        self._due = 0
        self._random = random.Random(seed).random
        self._gaps: list[int] = []  #: made some at a time, with warm caches
        self._late = 0
        self._steady = 0

    def next_due(self, now_ns: int, not_before_ns: int = 0) -> int:
        """The next moment to sample at. Moments that passed while we were late are counted as misses; those that the
        budget had no room for (`not_before_ns`) are not: they are a lower rate."""
        if not self._gaps:
            interval = 1e9 / self.target_hz
            self._gaps = [int(interval * (0.5 + self._random())) for _ in range(_GAPS)]
            self._late = int(2 * interval)
        self._due = due = self._due + self._gaps.pop()
        if due < not_before_ns:
            self.held_ns += not_before_ns - due
            self._due = not_before_ns
            return not_before_ns
        if due + self._late >= now_ns:
            return due
        self.misses += int((now_ns - due) * self.target_hz / 1e9)
        self._due = now_ns
        return now_ns

    def start(self, now_ns: int) -> None:
        self._due = now_ns

    def adapt(self, own_percent: float) -> bool:
        """Follow the cost of the last second. Whether that is worth telling: much slower than what was told last."""
        if own_percent > self.budget:
            floor = min(self.least_hz, self.asked_hz)
            self._go_at(max(floor, self.target_hz * max(0.5, 0.95 * self.budget / own_percent)))
        elif own_percent < ROOM * self.budget and self.target_hz < self.asked_hz:
            self._go_at(min(self.asked_hz, self.target_hz * RECOVERY))
        self._steady = self._steady + 1 if self.target_hz >= self.asked_hz else 0
        if self._steady >= STEADY:
            self._told_hz = self.asked_hz
        if self.target_hz < TELLING * self._told_hz:
            self._told_hz = self.target_hz
            return True
        return False

    def _go_at(self, rate_hz: float) -> None:
        self.target_hz = rate_hz
        self._gaps.clear()

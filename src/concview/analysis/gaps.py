"""Stretches of time in which no sample was taken though samples were due: what happened then, nobody saw.

The time of such a stretch counts to what was seen at its end, as all time between two samples does.
"""

from __future__ import annotations

import heapq

from concview.snapshot import Gap

#: Of so long, and of so many times the time between two samples as it was in the second before.
LEAST_NS, PERIODS = 500_000_000, 5
#: The longest ones are kept.
MOST = 20


class Gaps:
    """Of one stream. `seconds` and `count` are of all, `longest` of those that are kept, in the order of time."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.least_ns = LEAST_NS
        self._first_ns = -1
        self._kept: list[tuple[int, int]] = []  #: (how long, from), the shortest first

    def rate(self, hz: float) -> None:
        """So many samples a second were taken: at 1 Hz a second without any is none."""
        self.least_ns = max(LEAST_NS, int(PERIODS * 1e9 / hz)) if hz > 0 else LEAST_NS

    def begin(self, first_ns: int) -> None:
        """What is called the first sample saw what was so from then on; gaps count from there."""
        self._first_ns = first_ns

    def add(self, at_ns: int, dt_ns: int) -> None:
        """A sample, and the time since the one before, of at least `least_ns`. Nobody was there before the first."""
        if self._first_ns < 0:
            return
        self.count += 1
        self.seconds += dt_ns / 1e9
        one = (dt_ns, at_ns - dt_ns)
        if len(self._kept) < MOST:
            heapq.heappush(self._kept, one)
        else:
            heapq.heappushpop(self._kept, one)

    def longest(self) -> tuple[Gap, ...]:
        first = self._first_ns
        return tuple(Gap((start - first) / 1e9, ns / 1e9) for ns, start in sorted(self._kept, key=lambda k: k[1]))

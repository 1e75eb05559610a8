"""What a live session may spend on looking at what it has read, so that it does not take many times what the collector
takes: the collector's budget, once more.

Reading the stream and adding it up is not held back, for nothing may be lost. Judging, following waits to their ends
and making pictures are: the dearer they are, the rarer, down to a bound above which nobody could follow any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Of the collector's budget: what judging may take, and what pictures may take.
JUDGING, PICTURES = 0.6, 0.4
#: In the first seconds, when what is wrong shall be named soon, so many times as much.
EARLY = 4.0
#: However dear it is, it comes so often (nanoseconds): rules look back 10 s, and want to see a thing three times.
LONGEST_JUDGING_NS, LONGEST_EARLY_NS, LONGEST_PICTURES_NS = 4_000_000_000, 1_000_000_000, 2_000_000_000


class Allowance:
    """Of one kind of work, all of it done in one thread. `share` of a core; 0: as much as it takes."""

    def __init__(self, share: float = 0.0, clock: Callable[[], int] = time.thread_time_ns) -> None:
        self.share = share
        self._clock = clock
        self._began = 0
        self._cost = -1.0  #: nanoseconds of CPU that it takes, the latest counting most; negative: never done

    def begin(self) -> None:
        self._began = self._clock()

    def end(self) -> None:
        """The first one does not count: it imports, and reads source files."""
        spent = self._clock() - self._began
        self._cost = self._cost + 0.5 * (spent - self._cost) if self._cost >= 0 else 0.0

    def gap_ns(self, longest_ns: int, more: float = 1.0) -> int:
        """How long after the beginning of the last one the next one may come: `more` times as much may be spent."""
        return min(longest_ns, int(max(0.0, self._cost) / (more * self.share))) if self.share else 0

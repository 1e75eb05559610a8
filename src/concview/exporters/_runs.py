"""Pieces of every thread in the order of time, packed: a million of them take 16 MB."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from concview.analysis.samples import Activity, Blocker, SampledThread, Samples
from concview.exporters._totals import nothing


class Runs:
    """What each thread did, one behind the other; equal ones that touch are one run."""

    def __init__(self, samples: Samples) -> None:
        """Reads the samples. Nothing when there are none."""
        self.kinds: list[tuple[Activity, Blocker | None]] = []
        self._packed: dict[SampledThread, tuple[array[int], array[int], array[int]]] = {}
        numbers: dict[tuple[Activity, Blocker | None], int] = {}
        for pieces in samples:
            for thread, start, end, activity, blocker, _ in pieces:
                kind = (activity, blocker)
                number = numbers.get(kind)
                if number is None:
                    number = numbers[kind] = len(self.kinds)
                    self.kinds.append(kind)
                packed = self._packed.get(thread)
                if packed is None:
                    packed = self._packed[thread] = (array("q"), array("q"), array("I"))
                starts, ends, known = packed
                if ends and ends[-1] == start and known[-1] == number:
                    ends[-1] = end
                else:
                    starts.append(start)
                    ends.append(end)
                    known.append(number)
        if not self._packed:
            raise nothing(samples)

    @property
    def threads(self) -> list[SampledThread]:
        return list(self._packed)

    def of(self, thread: SampledThread) -> Iterator[tuple[int, int, int]]:
        """(from, to, number of the kind)."""
        return zip(*self._packed[thread], strict=True)

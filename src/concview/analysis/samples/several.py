"""Samples of several processes in one recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from concview import codec
from concview.analysis.samples.selection import Selection
from concview.analysis.samples.stream import Samples
from concview.analysis.samples.values import SampledSlice
from concview.model import AnyEvent, Stats


class Together(Samples):
    """Samples of several processes, one process after the other, as those of one: threads have their process's name
    before their own, and `pid`. Who waits for whom is known within a process. `counters` are told of none."""

    def __init__(
        self,
        each: Sequence[tuple[Callable[[], Iterable[list[AnyEvent]]], int, str]],
        zero_ns: int,
        selection: Selection | None = None,
        side: str = "waiter",
        gil_blockers: bool = False,
    ) -> None:
        """`each`: what makes a process's blocks, its pid, and its name. `zero_ns`: where the recording begins."""
        super().__init__((), selection, side, gil_blockers)
        self._each, self._side = each, side
        self.first_ns = self.last_ns = self._zero_ns = zero_ns

    def __iter__(self) -> Iterator[list[SampledSlice]]:
        for blocks, pid, name in self._each:
            label = f"{name} ({pid}): "
            one = Samples(blocks(), self.selection, self._side, self._gil_blockers, pid, label, self._zero_ns)
            try:
                for slices in one:
                    self.hello = self.hello or one.hello
                    yield slices
            except codec.StreamError as error:
                one.broken = str(error)
            self._add(one)

    def _add(self, one: Samples) -> None:
        self.hello, self.bye = self.hello or one.hello, self.bye or one.bye
        self.stats = one.stats if self.stats is None else _sum(self.stats, one.stats)
        self.notices += one.notices
        self.broken = self.broken or one.broken
        self.threads += one.threads
        self.ticks += one.ticks
        self.last_ns = max(self.last_ns, one.last_ns)
        self.gil_seen_ns += one.gil_seen_ns
        self.gil_held_ns += one.gil_held_ns
        self.collecting_ns += one.collecting_ns
        self._naming.left_out += one.left_out
        for doing in one.doings:
            self._naming.one_doing(doing)


def _sum(one: Stats, other: Stats | None) -> Stats:
    if other is None:
        return one
    return msgspec.structs.replace(one, samples=one.samples + other.samples, misses=one.misses + other.misses)

"""Which calls held the GIL: the moments at which a thread was seen as its holder, joined with what it did then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from concview.analysis.calltree import Slice
from concview.analysis.records import GilTick, ThreadHistory


@dataclass(frozen=True, slots=True)
class Uninterrupted:
    """One thread kept the GIL while others waited for it: seen at every tick from `start_ns` to `end_ns`.

    The interpreter's own count of changes proves that nobody else had it in between.
    """

    tid: int
    start_ns: int
    end_ns: int
    edge_ns: int  #: how far the hold may reach beyond, before and after together, half of it expected
    waited_ns: int  #: waiters times nanoseconds


def uninterrupted(ticks: Iterable[GilTick]) -> Iterator[Uninterrupted]:
    """Every stretch of at least two ticks; moments in which the collector was at work belong to none."""
    first: GilTick | None = None
    last: GilTick | None = None
    waited = 0
    for tick in ticks:
        kept = tick.holder > 0 and tick.waiters > 0 and tick.switches >= 0 and not tick.collecting
        if first is not None and last is not None:
            if kept and tick.holder == first.holder and tick.switches == first.switches:
                last, waited = tick, waited + tick.waiters * tick.dt_ns
                continue
            if last is not first:
                yield Uninterrupted(first.holder, first.at_ns, last.at_ns, first.dt_ns + tick.dt_ns, waited)
        first = last = tick if kept else None
        waited = 0
    if first is not None and last is not None and last is not first:
        yield Uninterrupted(first.holder, first.at_ns, last.at_ns, first.dt_ns, waited)


def slices(threads: Iterable[ThreadHistory], ticks: Iterable[GilTick], start_ns: int, end_ns: int) -> Iterator[Slice]:
    """What these threads were in while they held the GIL, as `calltree.slices` gives it."""
    held: dict[int, list[GilTick]] = {}
    for tick in ticks:
        if start_ns < tick.at_ns <= end_ns and tick.holder:
            held.setdefault(tick.holder, []).append(tick)
    for thread in threads:
        runs = iter(thread.runs)
        run = next(runs, None)
        for tick in held.get(thread.tid, ()):
            while run is not None and run.end_ns and run.end_ns < tick.at_ns:
                run = next(runs, None)
            if run is None:
                break
            if run.start_ns < tick.at_ns and run.stack.frames:
                yield Slice(thread.tid, run.stack, tick.at_ns - tick.dt_ns, tick.at_ns)

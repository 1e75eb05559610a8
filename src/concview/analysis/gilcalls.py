"""Which calls held the GIL: the moments at which a thread was seen as its holder, joined with what it did then."""

from __future__ import annotations

from collections.abc import Iterable

from concview.analysis.history import GilTick, ThreadHistory
from concview.model import Stack


def pieces(
    threads: Iterable[ThreadHistory], ticks: Iterable[GilTick], start_ns: int, end_ns: int
) -> Iterable[tuple[Stack, int]]:
    """(stack, nanoseconds) of the time in which these threads held the GIL, as `calltree.pieces` gives them."""
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
                yield run.stack, tick.dt_ns

"""PID HZ PAIRS: our engine with and without locks, two in one process, in turn for 40 samples each.

Prints a line a pair: microseconds of CPU per sample without and with. Without: stacks, wait states, GIL, names. With:
the locks that frames hold and that threads wait for, as well.
"""

from __future__ import annotations

import gc
import sys
import time

from concview.collector.recorder import Recorder
from concview.engines.direct import DirectEngine
from concview.model import Event
from concview.process.discovery import describe
from concview.source.facts import SourceFacts

SAMPLES = 40
WARM_UP = 3  #: pairs that do not count


class _Nowhere:
    """A writer that keeps nothing."""

    def add(self, event: Event) -> None:
        pass


def engine_on(pid: int, locks: bool) -> DirectEngine:
    described = describe(pid)
    engine = DirectEngine()
    engine.open(described, Recorder(_Nowhere(), SourceFacts(pid, described.started)))  # type: ignore[arg-type]
    if not locks:
        engine._holds.look = lambda threads: {}  # type: ignore[method-assign]
        assert engine._waits is not None
        engine._waits.futex_resolver = None
    return engine


def cost(engine: DirectEngine, hz: float) -> float:
    for _ in range(3):  # what changed while the other one sampled
        engine.tick(time.monotonic_ns())
        time.sleep(1 / hz)
    before = time.process_time()
    for _ in range(SAMPLES):
        engine.tick(time.monotonic_ns())
        time.sleep(1 / hz)
    return (time.process_time() - before) / SAMPLES * 1e6


def main() -> None:
    pid, hz, pairs = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    off, on = engine_on(pid, False), engine_on(pid, True)
    gc.freeze()  # as the collector does
    gc.disable()
    for number in range(WARM_UP + pairs):
        without, both = cost(off, hz), cost(on, hz)
        if number >= WARM_UP:
            print(without, both)
    off.close()
    on.close()


if __name__ == "__main__":
    main()

"""PID HZ SECONDS on|off: our engine with and without locks, in one process; prints microseconds of CPU per sample.

Without: stacks, wait states, GIL, names. With: the locks that frames hold and that threads wait for, as well.
"""

from __future__ import annotations

import gc
import sys
import time

from concview.collector.recorder import Recorder
from concview.engines.direct import DirectEngine
from concview.model import Event
from concview.target.discovery import describe
from concview.target.source import SourceFacts


class _Nowhere:
    """A writer that keeps nothing."""

    def add(self, event: Event) -> None:
        pass


def main() -> None:
    pid, hz, seconds, locks = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4] == "on"
    described = describe(pid)
    engine = DirectEngine()
    engine.open(described, Recorder(_Nowhere(), SourceFacts(pid, described.started)))  # type: ignore[arg-type]
    if not locks:
        engine._holds.look = lambda threads: {}  # type: ignore[method-assign]
        assert engine._waits is not None
        engine._waits.futex_resolver = None
    gc.freeze()  # as the collector does
    gc.disable()
    warm = time.monotonic() + 1.0
    end = warm + seconds
    samples, cpu = 0, 0.0
    due = time.monotonic()
    while (now := time.monotonic()) < end:
        if now > warm and not samples:
            cpu = time.process_time()
        samples += now > warm
        engine.tick(time.monotonic_ns())
        due = max(due + 1 / hz, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
    print((time.process_time() - cpu) / samples * 1e6, samples / seconds)
    engine.close()


if __name__ == "__main__":
    main()

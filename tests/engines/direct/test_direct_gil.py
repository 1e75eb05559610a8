"""The GIL: who holds it, who waits for it, when the collector runs."""

from __future__ import annotations

from collections import Counter

import pytest
from direct_helpers import KeepingSink, tick_until, ticks, watching

from capacity import BUSY
from concview.engines.direct import DirectEngine
from concview.model import WaitKind
from interpreters import Interpreter, target

HOGS = """
import threading, time
def hog():
    n = 0
    while True:
        n += 1
for i in range(3):
    threading.Thread(target=hog, name=f"hog-{i}", daemon=True).start()
print("ready")
time.sleep(100000)
"""

COLLECTING = """
import gc
keep = [[i] for i in range(300000)]
print("ready")
while True:
    gc.collect()
"""


def _tids(sink: KeepingSink, prefix: str) -> set[int]:
    return {tid for tid, (name, _) in sink.names.items() if name.startswith(prefix)}


@pytest.mark.units(BUSY)
def test_holder_and_waiters(direct_python: Interpreter) -> None:
    if direct_python.free_threaded:
        return
    with target(direct_python, HOGS) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: len(_tids(sink, "hog-")) == 3)
        hogs = _tids(sink, "hog-")
        holders: Counter[int] = Counter()
        waiting = other = 0

        def seen() -> bool:
            """A few hundred looks; a waiter is woken every 5 ms, and on a full machine mostly waits for a CPU then."""
            nonlocal waiting, other
            holder = sink.ticks[-1][1]
            holders[holder] += 1
            for tid in hogs - {holder}:
                wait = sink.wait_of(tid)
                assert wait is not None
                if wait.kind is WaitKind.GIL:
                    waiting += 1
                elif wait.kind is not WaitKind.RUNNING:
                    other += 1
            return sum(holders.values()) >= 300 and waiting > 50 and len(holders.keys() & hogs) >= 2

        tick_until(engine, seen, pause=0.002)
        assert set(holders) <= hogs | {0, process.pid}, holders
        assert sum(holders[t] for t in hogs) > 0.8 * sum(holders.values())
        # A waiter may be caught running; nothing else.
        assert other == 0, (waiting, other)
        assert engine.tally.gil_switches > 0


def test_nobody_holds_it_when_all_sleep(direct_python: Interpreter) -> None:
    source = "import time\nprint('ready')\ntime.sleep(100000)\n"
    with target(direct_python, source) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: (w := sink.wait_of(process.pid)) and w.kind is WaitKind.SLEEP)
        assert sink.ticks[-1][1] == (-1 if direct_python.free_threaded else 0)
        assert sink.names[process.pid] == ("MainThread", False)


@pytest.mark.units(BUSY)
def test_collector(direct_python: Interpreter) -> None:
    with target(direct_python, COLLECTING) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: sum(collecting for _, _, collecting in sink.ticks) > 20, pause=0.002)
    with target(direct_python, HOGS) as process, watching(process.pid) as (engine, sink):
        ticks(engine, 30)
        assert not any(collecting for _, _, collecting in sink.ticks)


@pytest.mark.units(BUSY)
def test_a_build_without_a_gil_says_so(free_threaded_python: Interpreter) -> None:
    with target(free_threaded_python, HOGS) as process:
        probe = DirectEngine.probe(process.pid)
        assert probe.usable and probe.free_threaded
        assert not probe.capabilities["gil"].available and "no GIL" in probe.capabilities["gil"].why
        with watching(process.pid) as (engine, sink):
            tick_until(engine, lambda: len(_tids(sink, "hog-")) == 3)
            hogs = _tids(sink, "hog-")
            running = 0
            for _ in range(100):
                ticks(engine, 1)
                assert sink.ticks[-1][1] == -1
                kinds = [w.kind for t in hogs if (w := sink.wait_of(t))]
                assert WaitKind.GIL not in kinds
                running += kinds.count(WaitKind.RUNNING)
            assert running > 200


@pytest.mark.units(BUSY)
def test_a_free_threaded_build_with_its_gil_on(free_threaded_python: Interpreter) -> None:
    with target(free_threaded_python, HOGS, env={"PYTHON_GIL": "1"}) as process:
        assert DirectEngine.probe(process.pid).capabilities["gil"].available
        with watching(process.pid) as (engine, sink):
            tick_until(engine, lambda: len(_tids(sink, "hog-")) == 3)
            hogs = _tids(sink, "hog-")
            ticks(engine, 100)
            assert sum(holder in hogs for _, holder, _ in sink.ticks[-100:]) > 80


CROWDED = """
import gc, threading
data = []
def append():
    while True:
        for i in range(1000): data.append(i)
        data.clear()
def collect():
    while True: gc.collect()
for i in range(3): threading.Thread(target=append, name=f"append-{i}", daemon=True).start()
threading.Thread(target=collect, name="collect", daemon=True).start()
print("ready")
threading.Event().wait()
"""


@pytest.mark.units(BUSY)
def test_without_a_gil_the_object_that_threads_queue_at_and_stops_of_all_are_told(
    free_threaded_python: Interpreter,
) -> None:
    with target(free_threaded_python, CROWDED) as process, watching(process.pid) as (engine, sink):
        seen: set[tuple[str, str]] = set()

        def both() -> bool:
            for tid in _tids(sink, "append-"):
                if (wait := sink.wait_of(tid)) is not None and wait.via in ("object", "stop-the-world"):
                    assert (wait.lock != 0) is (wait.via == "object")
                    seen.add((wait.via, wait.lock_kind))
            return seen == {("object", "list"), ("stop-the-world", "")}

        tick_until(engine, both)

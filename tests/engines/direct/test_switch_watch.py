"""Exact waits out of switch records: numbers, lengths, places, gaps, and when they are given up."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from direct_helpers import KeepingSink, tick_until, ticks, watching

from concview.engines.direct import switch_watch
from concview.engines.direct.switch_watch import MAX_RECORDS_PER_S, SwitchWatch
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import switches
from concview.linux.switches import IN, OUT, PUSHED_ASIDE, NotHere
from concview.model import Switches, ThreadSwitches, class_middle_ns, length_class
from interpreters import Interpreter

MS = 1_000_000
S = 1_000_000_000


class Source:
    """Stands in for the kernel: `put` says what comes next."""

    def __init__(self, pid: int, events: int) -> None:
        self.batches: list[list[tuple[int, int, int]]] = []
        self.gaps: tuple[int, ...] = (0,)
        self.closed = False

    def put(self, *batches: list[tuple[int, int, int]]) -> None:
        self.batches += batches

    def read_each(self, batches: list[bytes], ran: set[int], on: dict[int, int]) -> bool:
        given, self.batches = self.batches, []
        for batch in given:
            batches.append(b"".join(struct.pack("<IIIIQ", 14, word, 1, tid, at) for at, tid, word in batch))
            ran.update(tid for _, tid, _ in batch)
        return bool(given)

    def cover(self, most: int = 0) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


class Watched:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100 * S
        monkeypatch.setattr(switches, "Switches", Source)
        self.sink = KeepingSink()
        self.watch = SwitchWatch(1, self.sink)
        self.poll()
        self.now += S // 2
        self.poll()
        assert self.watch.on

    @property
    def source(self) -> Source:
        source = self.watch._source
        assert isinstance(source, Source)
        return source

    def poll(self) -> None:
        self.watch.poll(self.now, {7, 8})

    def report(self) -> Switches:
        self.now += 2 * S
        self.poll()
        event = self.sink.events[-1]
        assert isinstance(event, Switches)
        return event


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def one(event: Switches, tid: int = 7) -> ThreadSwitches:
    return next(t for t in event.threads if t.tid == tid)


def row(tid: int, stack: int, wait: int) -> ThreadRow:
    found = ThreadRow(tid, 0)
    found.stack, found.wait = stack, wait
    return found


def test_waits_are_counted_when_they_end_with_all_their_length(watched: Watched) -> None:
    at = watched.now
    watched.source.put([
        (at + 1 * MS, 7, IN),  # how long it had waited is not known: no wait
        (at + 2 * MS, 7, OUT), (at + 5 * MS, 7, IN),
        (at + 6 * MS, 7, PUSHED_ASIDE), (at + 10 * MS, 7, IN),
        (at + 11 * MS, 7, OUT), (at + 12 * MS, 7, IN),
        (at + 13 * MS, 7, OUT),  # goes on
    ])  # fmt: skip
    found = one(watched.report())
    assert (found.runs, found.waits, found.waited_ns, found.longest_ns) == (4, 2, 4 * MS, 3 * MS)
    assert (found.aside, found.aside_ns) == (1, 4 * MS)
    assert found.lengths == (length_class(1 * MS), 1, length_class(3 * MS), 1)
    watched.source.put([(at + 1013 * MS, 7, IN)])
    found = one(watched.report())
    assert (found.waits, found.waited_ns) == (1, 1000 * MS), "told once, when it ended"


def test_records_of_several_cpus_are_one_story(watched: Watched) -> None:
    """A thread leaves one CPU and comes back on another, whose ring is read first."""
    at = watched.now
    watched.source.put([(at + 5 * MS, 7, IN)], [(at + 1 * MS, 7, IN), (at + 2 * MS, 7, OUT)])
    found = one(watched.report())
    assert (found.waits, found.waited_ns) == (1, 3 * MS)


def test_what_is_too_young_waits_for_its_older_neighbours(watched: Watched) -> None:
    at = watched.now
    watched.source.put([(at - MS, 7, IN), (at - 1000, 7, OUT)])
    watched.watch._feed_at = 0
    watched.poll()
    assert watched.watch._pending, "another ring may still bring something older"
    watched.source.put([(at + 5 * MS, 7, IN)])
    assert one(watched.report()).waits == 1


def test_a_record_that_came_twice_changes_nothing(watched: Watched) -> None:
    at = watched.now
    watched.source.put([
        (at, 7, IN), (at, 7, IN), (at + MS, 7, OUT), (at + MS, 7, OUT), (at + 3 * MS, 7, IN), (at + 3 * MS, 7, IN),
    ])  # fmt: skip
    found = one(watched.report())
    assert (found.waits, found.waited_ns, found.runs) == (1, 2 * MS, 2)


def test_a_place_is_that_of_a_sample_within_the_wait(watched: Watched) -> None:
    at = watched.now
    watched.source.put([(at, 7, IN), (at + 1 * MS, 7, OUT)])
    watched.now = at + 4 * MS
    watched.poll()
    watched.watch.looked([row(7, 11, 22)], at + 3 * MS, at + 4 * MS)
    # The next wait was seen by no sample; the last one by one that began before it did.
    watched.source.put([
        (at + 9 * MS, 7, IN), (at + 10 * MS, 7, OUT), (at + 12 * MS, 7, IN), (at + 13 * MS, 7, OUT),
    ])  # fmt: skip
    watched.now = at + 15 * MS
    watched.poll()
    watched.watch.looked([row(7, 11, 33)], at + 12 * MS, at + 14 * MS)
    watched.source.put([(at + 20 * MS, 7, IN)])
    found = one(watched.report())
    assert found.waits == 3
    (place,) = found.places
    assert (place.stack, place.wait, place.waits, place.waited_ns) == (11, 22, 1, 8 * MS)


def test_what_reaches_over_a_gap_is_left_out_and_said(watched: Watched) -> None:
    at = watched.now
    watched.source.put([(at, 7, IN), (at + MS, 7, OUT)])
    watched.now += 3 * MS
    watched.poll()
    watched.source.gaps = (5,)
    watched.source.put([(at + 9 * MS, 7, IN)])
    event = watched.report()
    assert event.gaps == 1 and one(event).waits == 0


def test_given_up_where_it_would_cost_too_much_and_tried_again_later(watched: Watched) -> None:
    at, every = watched.now, 1000
    watched.source.put([
        (at + i * every, 7, OUT if i % 2 else IN) for i in range(3 * MAX_RECORDS_PER_S)
    ])  # fmt: skip
    source = watched.source
    event = watched.report()
    assert "1 % of a core" in event.ended and not watched.watch.on and source.closed
    watched.now += switch_watch.AGAIN_NS - 3 * S
    watched.poll()
    assert not watched.watch.on
    watched.now += 4 * S
    watched.poll()
    assert watched.watch.on


def test_a_refusal_on_the_way_is_told(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> bool:
        raise NotHere("too many files would be open")

    monkeypatch.setattr(Source, "cover", refused)
    watched.watch._covered = False
    watched.poll()
    event = watched.sink.events[-1]
    assert isinstance(event, Switches) and event.ended == "too many files would be open"


def test_the_first_moment_at_which_somebody_ran(watched: Watched) -> None:
    watch, at = watched.watch, watched.now
    watched.poll()
    assert watch.first_since() == 0
    watched.source.put([(at + 3 * MS, 7, IN), (at + 9 * MS, 7, OUT)], [(at + 2 * MS, 8, IN)])
    assert watch.first_since() == at + 2 * MS
    assert watch.poll(at + 10 * MS, {7, 8}) == {7, 8}, "who was seen meanwhile is told with the next poll"
    watched.source.gaps = (1,)
    watched.source.put([(at + 20 * MS, 7, IN)])
    assert watch.first_since() == -1, "with a gap it is not known"
    assert watch.poll(at + 21 * MS, {7, 8}) is None


def test_those_that_ended_are_forgotten(watched: Watched) -> None:
    watched.source.put([(watched.now + n, 1000 + n, IN) for n in range(500)])
    assert len(watched.report().threads) == 500
    watched.report()
    watched.report()
    assert not watched.watch._lives


def test_lengths_fall_into_classes_of_a_quarter() -> None:
    for ns in (1, 900, 1024, 50_000, 3 * MS, 7 * S):
        middle = class_middle_ns(length_class(ns))
        assert ns < 1024 or 0.79 < middle / ns < 1.27
    assert length_class(10 * MS) < length_class(13 * MS)


# ---------------------------------------------------------------------- real processes

ABLE = switches.probe(os.getpid())
needs_records = pytest.mark.skipif(not ABLE.available, reason=f"{ABLE.why}; {ABLE.enable}")

#: At each line on its input it sleeps, and says how often the kernel saw it wait, and for how long its clock did.
SLEEPER = """
import resource, sys, time
print("ready", flush=True)
def main():
    for line in sys.stdin:
        before, began = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw, time.monotonic_ns()
        for _ in range(int(line)):
            time.sleep(0.001)
        after, ended = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw, time.monotonic_ns()
        print(after - before, ended - began, flush=True)
main()
"""


@contextlib.contextmanager
def sleeper(python: Interpreter) -> Iterator[subprocess.Popen[str]]:
    command = [python.path, "-u", "-c", SLEEPER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@needs_records
@pytest.mark.few
def test_as_many_waits_as_the_kernel_counts_and_as_long_as_its_own_clock_says(direct_python: Interpreter) -> None:
    with sleeper(direct_python) as process, watching(process.pid) as (engine, sink):
        watch = engine._switches
        assert watch is not None
        tick_until(engine, lambda: watch.on and watch._covered)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("300\n")
        process.stdin.flush()
        os.set_blocking(process.stdout.fileno(), False)
        said: list[str] = []

        def answered() -> bool:
            line = process.stdout.readline() if process.stdout is not None else ""
            said.extend([line] if line else [])
            return bool(said)

        tick_until(engine, answered)
        before = sum(isinstance(e, Switches) for e in sink.events)
        tick_until(engine, lambda: sum(isinstance(e, Switches) for e in sink.events) > before)
        counted, elapsed = map(int, said[0].split())
        mine = [t for e in sink.events if isinstance(e, Switches) for t in e.threads if t.tid == process.pid]
        # Besides, it waited for its input, and for the pipe that takes its answer.
        assert counted <= sum(t.waits for t in mine) <= counted + 4
        inside = sum(t.waited_ns for t in mine) - max(t.longest_ns for t in mine)
        assert inside <= elapsed
        assert sum(e.gaps for e in sink.events if isinstance(e, Switches)) == 0


@needs_records
@pytest.mark.few
def test_gentle_opens_nothing(direct_python: Interpreter) -> None:
    with sleeper(direct_python) as process:
        with watching(process.pid) as (engine, _):
            watch = engine._switches
            assert watch is not None
            tick_until(engine, lambda: watch.on)
            assert opened()
        assert not opened(), "closed with the engine"
        with watching(process.pid, gentle=True) as (engine, _):
            ticks(engine, 60)
            assert engine._switches is None and not opened()


@needs_records
@pytest.mark.few
def test_moments_that_were_let_pass_count_until_somebody_ran(direct_python: Interpreter) -> None:
    with sleeper(direct_python) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: engine.resting)
        assert process.stdin is not None and process.stdout is not None
        before = len(sink.ticks)
        at_rest = [time.monotonic_ns()]
        time.sleep(0.01)
        at_rest.append(time.monotonic_ns())
        time.sleep(0.01)
        process.stdin.write("1\n")
        process.stdin.flush()
        assert process.stdout.readline()
        awake = time.monotonic_ns()
        engine.catch_up([*at_rest, awake])
        told = [at for at, *_ in sink.ticks[before:]]
        assert told[:2] == at_rest, "nobody ran until then"
        assert len(told) == 3 and at_rest[1] < told[2] < awake, "what comes later counts from when it woke up"
        engine.tick(time.monotonic_ns())
        assert not engine.resting


#: Many threads that go from one function to another and back, one step at each line; it says when all have arrived.
STEPS = """
import sys, threading
N, lock, arrived = 80, threading.Lock(), 0
gates = [threading.Event() for _ in range(40)]
def here(gate):
    count()
    gate.wait()
def there(gate):
    count()
    gate.wait()
def count():
    global arrived
    with lock:
        arrived += 1
def walk():
    for i, gate in enumerate(gates):
        (there if i % 2 else here)(gate)
for _ in range(N):
    threading.Thread(target=walk, daemon=True).start()
print("ready", flush=True)
for i, line in enumerate(sys.stdin):
    while arrived < N * (i + 1):
        pass
    print("arrived", flush=True)
    sys.stdin.readline()
    gates[i].set()
"""


@needs_records
@pytest.mark.few
def test_whoever_ran_is_looked_at_and_nobody_is_missed(direct_python: Interpreter) -> None:
    """One tick after all threads stand in the other function, all are seen there: by the records alone, for nobody is
    asked one by one."""
    command = [direct_python.path, "-u", "-c", STEPS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            with watching(process.pid) as (engine, sink):
                watch = engine._switches
                assert watch is not None
                tick_until(engine, lambda: watch.on and watch._covered and engine._scheduled._stale is not None)
                recorded = 0
                for step in range(20):
                    process.stdin.write("\n")
                    process.stdin.flush()
                    assert process.stdout.readline() == "arrived\n"
                    ticks(engine, 1)
                    # Where records were lost on a full machine, everybody is asked instead.
                    recorded += engine._scheduled._stale is not None
                    name = "there" if step % 2 else "here"
                    places = {
                        tid: {sink.frames[f][0] for f in sink.stacks[row[1]][0]}  # type: ignore[index]
                        for tid, row in sink.rows.items()
                        if tid != process.pid
                    }
                    assert len(places) == 80
                    assert [tid for tid, names in places.items() if name not in names] == []
                    process.stdin.write("\n")
                    process.stdin.flush()
                    ticks(engine, 3)
                assert recorded, "records are used"
        finally:
            process.kill()


def opened() -> list[str]:
    """The performance events that this process has open."""
    links = [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]  # noqa: PTH115
    return [link for link in links if re.search("perf_event", link)]

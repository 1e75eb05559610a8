"""Exact waits out of switch records: numbers, lengths, places, gaps, and when they are given up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from direct_helpers import KeepingSink, tick_until, ticks, watching

from capacity import MEASURES
from concview.engines.direct import exact_waits, switch_watch
from concview.engines.direct.scheduled import ScheduledThreads
from concview.engines.direct.switch_watch import SwitchWatch
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import switches, wakeups
from concview.linux.switches import IN, OUT, PUSHED_ASIDE, WAKING, Batch, NotHere
from concview.model import (
    INTERRUPT,
    NOBODY_KNOWN,
    Capability,
    Peer,
    Switches,
    ThreadSwitches,
    Wait,
    WaitKind,
    class_middle_ns,
    length_class,
)
from interpreters import Interpreter

MS = 1_000_000
S = 1_000_000_000


#: When, thread, what; and of WAKING by whom.
Told = tuple[int, int, int] | tuple[int, int, int, int]


class Source:
    """Stands in for the kernel: `put` says what comes next."""

    most_per_s = 6_000
    certain = True

    def __init__(self, pid: int, events: int) -> None:
        self.batches: list[list[Told]] = []
        self.gaps: tuple[int, ...] = (0,)
        self.closed = False

    def put(self, *batches: list[Told]) -> None:
        self.batches += batches

    def read_each(self, batches: list[Batch], ran: set[int], on: dict[int, int]) -> bool:
        given, self.batches = self.batches, []
        for batch in given:
            rows = [(at, tid, word, by[0] if by else 0) for at, tid, word, *by in batch]
            batches.append((lambda _, rows=rows: rows, b""))  # type: ignore[misc]
            ran.update(tid for _, tid, word, _ in rows if word != WAKING)
        return bool(given)

    def wakings(self) -> list[Batch]:
        return []

    def cover(self, most: int = 0) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def refused(*_: object) -> None:
    raise NotHere("only root may")


class Watched:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100 * S
        monkeypatch.setattr(switches, "Switches", Source)
        monkeypatch.setattr(wakeups, "WithWakers", refused)
        monkeypatch.setattr(wakeups, "probe", lambda: Capability(False, "only root may"))
        self.sink = KeepingSink()
        self.sleeping = self.sink.wait(Wait(WaitKind.SLEEP))
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
    watched.source.put(
        [
            (at + 1 * MS, 7, IN),  # how long it had waited is not known: no wait
            (at + 2 * MS, 7, OUT),
            (at + 5 * MS, 7, IN),
            (at + 6 * MS, 7, PUSHED_ASIDE),
            (at + 10 * MS, 7, IN),
            (at + 11 * MS, 7, OUT),
            (at + 12 * MS, 7, IN),
            (at + 13 * MS, 7, OUT),  # goes on
        ]
    )
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
    watched.source.put(
        [
            (at, 7, IN),
            (at, 7, IN),
            (at + MS, 7, OUT),
            (at + MS, 7, OUT),
            (at + 3 * MS, 7, IN),
            (at + 3 * MS, 7, IN),
        ]
    )
    found = one(watched.report())
    assert (found.waits, found.waited_ns, found.runs) == (1, 2 * MS, 2)


def test_a_place_is_that_of_a_sample_within_the_wait(watched: Watched) -> None:
    at = watched.now
    watched.source.put([(at, 7, IN), (at + 1 * MS, 7, OUT)])
    watched.now = at + 4 * MS
    watched.poll()
    watched.watch.looked([row(7, 11, watched.sleeping)], at + 3 * MS, at + 4 * MS)
    # The next wait was seen by no sample; the last one by one that began before it did.
    watched.source.put(
        [
            (at + 9 * MS, 7, IN),
            (at + 10 * MS, 7, OUT),
            (at + 12 * MS, 7, IN),
            (at + 13 * MS, 7, OUT),
        ]
    )
    watched.now = at + 15 * MS
    watched.poll()
    watched.watch.looked([row(7, 12, watched.sleeping)], at + 12 * MS, at + 14 * MS)
    watched.source.put([(at + 20 * MS, 7, IN)])
    found = one(watched.report())
    assert found.waits == 3
    (place,) = found.places
    assert (place.stack, place.wait, place.waits, place.waited_ns) == (11, watched.sleeping, 1, 8 * MS)


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
    watched.source.put([(at + i * every, 7, OUT if i % 2 else IN) for i in range(3 * Source.most_per_s)])
    source = watched.source
    event = watched.report()
    assert "1 % of a core" in event.ended and not watched.watch.on and source.closed
    watched.now += switch_watch.AGAIN_NS - 3 * S
    watched.poll()
    assert not watched.watch.on
    watched.now += 4 * S
    watched.poll()
    assert watched.watch.on


def test_left_off_where_working_it_out_takes_too_much_and_tried_again_later(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who ran is known all the same."""
    watch, spent = watched.watch, 0

    def clock() -> int:
        """Each time it is worked out takes 40 ms: of 2 s, 2 % of a core."""
        nonlocal spent
        spent += 40 * MS
        return spent

    monkeypatch.setattr(switch_watch, "thread_time_ns", clock)

    def wait() -> None:
        at = watched.now
        watched.source.put([(at, 7, IN), (at + MS, 7, OUT), (at + 11 * MS, 7, IN), (at + 12 * MS, 7, OUT)])

    watch.budget = 0.1  # of which that may take 3 %
    for _ in range(3):
        wait()
        assert not watched.report().ended, "there is room for it"
    watch.budget = 0.05  # 1.5 %
    wait()
    assert not watched.report().ended, "once may be chance"
    wait()
    assert "took 2.0 % of a core, more than 30 % of the budget" in watched.report().ended
    told = len(watched.sink.events)
    wait()
    watched.now += 2 * S
    assert watch.poll(watched.now, {7, 8}) == {7}
    assert len(watched.sink.events) == told, "nothing is told of waits: they were not zero"
    assert not watch.on
    watched.now += switch_watch.AGAIN_NS
    watched.poll()
    assert watch.on
    wait()
    event = watched.report()
    assert (event.ended, [t.waits for t in event.threads]) == ("", [1])
    assert not watched.source.closed


def test_what_records_cost_is_asked_while_threads_are_still_taken_in(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched.source, "cover", lambda most=0: False)
    watched.watch._covered = False
    at = watched.now
    watched.source.put([(at + i * 1000, 7, OUT if i % 2 else IN) for i in range(3 * Source.most_per_s)])
    assert "1 % of a core" in watched.report().ended


def test_a_refusal_on_the_way_is_told(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(*_: object) -> bool:
        raise NotHere("too many files would be open")

    monkeypatch.setattr(Source, "cover", too_many)
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


def test_who_woke_it_and_how_long_it_waited_for_a_cpu(watched: Watched) -> None:
    at = watched.now
    watched.source.put(
        [
            (at, 7, IN),
            (at + 1 * MS, 7, OUT),
            (at + 4 * MS, 7, WAKING, 8),
            (at + 5 * MS, 7, IN),
            (at + 6 * MS, 7, OUT),
            (at + 8 * MS, 7, WAKING, INTERRUPT),
            (at + 9 * MS, 7, IN),
            (at + 10 * MS, 7, PUSHED_ASIDE),
            (at + 11 * MS, 7, IN),  # for that nobody wakes it
            (at + 12 * MS, 7, WAKING, 8),
            (at + 13 * MS, 7, OUT),
            (at + 15 * MS, 7, IN),  # before: for something else
            (at + 16 * MS - 1000, 7, WAKING, 8),
            (at + 16 * MS, 7, OUT),
            (at + 17 * MS, 7, IN),  # on its way off the CPU
        ]
    )
    found = one(watched.report())
    assert found.wakers == (8, 2, INTERRUPT, 1) and found.waits == 4
    assert (found.late_ns, found.late_longest_ns) == (3 * MS, MS)
    assert sum(found.lates[1::2]) == 3 and found.brief == 0


def test_woken_to_wait_again_at_once(watched: Watched) -> None:
    at, brief = watched.now, MS // 100
    looks = []
    for n in range(4):
        began = at + 10 * MS * n
        woken = began - 2 * brief
        watched.source.put([(woken, 7, WAKING, 8), (began - brief, 7, IN), (began, 7, OUT)])
        looks.append(began + MS)
    for look in looks:
        watched.now = look + MS
        watched.poll()
        watched.watch.looked([row(7, 11, watched.sleeping)], look, look + MS)
    watched.source.put([(at + 49 * MS, 7, WAKING, 8), (at + 50 * MS, 7, IN), (at + 60 * MS, 7, OUT)])
    found = one(watched.report())
    assert found.brief == 3, "what ended the first wait is not known, and the last run took long"
    (place,) = found.places
    assert (place.waits, place.back, place.wakers) == (4, 3, (8, 4))


def test_looks_at_one_that_was_woken_already_are_of_no_wait(watched: Watched) -> None:
    at = watched.now
    watched.source.put([(at, 7, IN), (at + MS, 7, OUT)])
    watched.now = at + 12 * MS
    watched.poll()
    watched.watch.looked([row(7, 11, watched.sleeping)], at + 10 * MS, at + 11 * MS)
    watched.source.put([(at + 5 * MS, 7, WAKING, INTERRUPT), (at + 20 * MS, 7, IN)])
    found = one(watched.report())
    assert found.waits == 1 and not found.places


def test_when_it_came_to_a_peer_and_who_had_woken_it(watched: Watched) -> None:
    at = watched.now
    wait = watched.sink.wait(Wait(WaitKind.IO, "recvfrom", peer=Peer("tcp", "127.0.0.1:1")))
    watched.source.put(
        [
            (at, 7, IN),
            (at + MS, 7, OUT),
            (at + 29 * MS, 7, WAKING, 8),
            (at + 30 * MS, 7, IN),
            (at + 31 * MS, 7, OUT),
            (at + 31 * MS, 7, WAKING, 9),
            (at + 32 * MS, 7, IN),
            (at + 33 * MS, 7, OUT),
        ]
    )
    watched.now = at + 35 * MS
    watched.poll()
    watched.watch.looked([row(7, 11, wait)], at + 34 * MS, at + 35 * MS)
    watched.source.put([(at + 40 * MS, 7, IN)])
    assert watched.report().begun == (at + 33 * MS, 7, 8), "the wait in between was short"


def test_where_some_records_are_left_out_they_are_given_up_for_good(watched: Watched) -> None:
    at = watched.now
    watched.source.certain = False
    watched.source.put([(at, 7, IN), (at + MS, 7, OUT), (at + 3 * MS, 7, OUT)])
    assert "leaves out" in watched.report().ended and not watched.watch.on
    assert watched.watch._incomplete


def test_dear_records_are_had_from_programs_where_these_may_run(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Programs(Source):
        most_per_s, certain = 60_000, False

        def __init__(self, pid: int) -> None:
            super().__init__(pid, 0)

    monkeypatch.setattr(wakeups, "Wakeups", Programs)
    monkeypatch.setattr(wakeups, "probe", lambda: Capability(True))
    at, first = watched.now, watched.source
    watched.source.put([(at + i * 1000, 7, OUT if i % 2 else IN) for i in range(3 * Source.most_per_s)])
    watched.now += 2 * S
    watched.poll()
    watched.poll()
    assert isinstance(watched.source, Programs) and first.closed and watched.watch.on
    assert not any(isinstance(e, Switches) and e.ended for e in watched.sink.events)


def test_wakers_beyond_the_most_are_told_together() -> None:
    assert exact_waits._most({1: 5, 2: 4, 3: 3, 4: 2}, 3) == (1, 5, NOBODY_KNOWN, 5, 2, 4)


def test_those_that_ended_are_forgotten(watched: Watched) -> None:
    watched.source.put([(watched.now + n, 1000 + n, IN) for n in range(500)])
    assert len(watched.report().threads) == 500
    watched.report()
    watched.report()
    assert not watched.watch._waits._lives


def test_lengths_fall_into_classes_of_a_quarter() -> None:
    for ns in (1, 900, 1024, 50_000, 3 * MS, 7 * S):
        middle = class_middle_ns(length_class(ns))
        assert ns < 1024 or 0.79 < middle / ns < 1.27
    assert length_class(10 * MS) < length_class(13 * MS)


# ---------------------------------------------------------------------- real processes

ABLE = wakeups.probe() if wakeups.probe().available else switches.probe(os.getpid())
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
        os.set_blocking(process.stdout.fileno(), False)
        told = [e for e in sink.events if isinstance(e, Switches)]
        for _ in range(5):
            begun = len(sink.events)
            process.stdin.write("300\n")
            process.stdin.flush()
            said: list[str] = []

            def answered(said: list[str] = said) -> bool:
                line = process.stdout.readline() if process.stdout is not None else ""
                said.extend([line] if line else [])
                return bool(said)

            tick_until(engine, answered)
            before = sum(isinstance(e, Switches) for e in sink.events)
            tick_until(engine, lambda before=before: sum(isinstance(e, Switches) for e in sink.events) > before)  # type: ignore[misc]
            told = [e for e in sink.events[begun:] if isinstance(e, Switches)]
            if not sum(e.gaps for e in told):  # records are lost where whoever reads them has no CPU for too long
                break
        assert sum(e.gaps for e in told) == 0
        counted, elapsed = map(int, said[0].split())
        mine = [t for e in told for t in e.threads if t.tid == process.pid]
        # Besides, it waited for its input, and for the pipe that takes its answer.
        assert counted <= sum(t.waits for t in mine) <= counted + 4
        inside = sum(t.waited_ns for t in mine) - max(t.longest_ns for t in mine)
        assert inside <= elapsed


#: Threads in a ring that hand a token on, by locks, `hops` times for each line on its input. Each writes down from whom
#: it got it and when; who has the token sleeps for a moment, so that the next one has long been waiting. It says how
#: often each thread was handed it by each and had waited for it, by the kernel's count.
RING = """
import json, resource, sys, threading, time
N = 4
def waits():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
locks, hops, left, taken = [threading.Lock() for _ in range(N)], {}, 0, []
done = threading.Semaphore(0)
for lock in locks:
    lock.acquire()
def member(i):
    global left
    while True:
        before = waits()
        locks[i].acquire()
        waited, me = waits() > before, threading.get_native_id()
        if taken:
            key = f"{taken[-1]} {me}"
            hops[key] = hops.get(key, 0) + waited
        taken.append(me)
        left -= 1
        if not left:
            done.release()
            continue
        time.sleep(float(sys.argv[1]))
        locks[(i + 1) % N].release()
for i in range(N):
    threading.Thread(target=member, args=(i,), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    hops.clear(); taken.clear()
    left = int(line)
    locks[0].release()
    done.acquire()
    print(json.dumps(hops), flush=True)
"""

WAKERS = wakeups.probe()


@pytest.mark.skipif(not WAKERS.available, reason=f"{WAKERS.why}; {WAKERS.enable}")
@pytest.mark.few
@pytest.mark.units(MEASURES)
def test_who_woke_whom_is_as_the_target_wrote_it_down(direct_python: Interpreter) -> None:
    # Without a GIL a thread gives way forty times before it waits, each time for a turn of the run queue: on a full
    # machine it may well have the lock by then.
    pause, hops = ("0.1", 40) if direct_python.free_threaded else ("0.002", 400)
    command = [direct_python.path, "-u", "-c", RING, pause]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            with watching(process.pid) as (engine, sink):
                watch = engine._switches
                assert watch is not None
                tick_until(engine, lambda: watch.on and watch._covered)
                process.stdin.write(f"{hops + 1}\n")
                process.stdin.flush()
                os.set_blocking(process.stdout.fileno(), False)
                said: list[str] = []

                def answered() -> bool:
                    line = process.stdout.readline() if process.stdout is not None else ""
                    said.extend([line] if line else [])
                    return bool(said)

                tick_until(engine, answered)
                handed = {
                    (int(key.split()[0]), int(key.split()[1])): count for key, count in json.loads(said[0]).items()
                }
                woken: dict[tuple[int, int], int] = {}
                others: list[ThreadSwitches] = []

                def all_told() -> bool:
                    told = [t for e in sink.events if isinstance(e, Switches) for t in e.threads]
                    others[:] = [t for t in told if t.tid != process.pid]
                    woken.clear()
                    for thread in others:
                        for waker, count in zip(thread.wakers[::2], thread.wakers[1::2], strict=True):
                            woken[waker, thread.tid] = woken.get((waker, thread.tid), 0) + count
                    # One that was woken on its way off the CPU has not waited; from sleep a timer wakes them, whoever
                    # is on that CPU then.
                    sleeps = sum(count for (waker, _), count in woken.items() if waker == INTERRUPT)
                    enough = all(woken.get(pair, 0) >= 0.9 * count - 1 for pair, count in handed.items())
                    return enough and sleeps >= 0.75 * hops

                tick_until(engine, all_told)
                assert len(handed) == 4
                assert sum(handed.values()) == hops or direct_python.free_threaded
                # The one before it: more often than it was handed the token where it also met it at the GIL, and seldom
                # somebody else there, who was pushed aside while it had the GIL.
                strangers = [pair for pair in woken if pair not in handed and pair[0] > 0 and pair[0] != process.pid]
                assert sum(woken[pair] for pair in strangers) <= hops / 20, woken
                assert sum(t.late_ns for t in others) > 0
        finally:
            process.kill()


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


class NoWaits:
    """Stands in for the reader of wait states: the answer for thread 8 is a provisional one."""

    def slot(self, tid: int) -> object:
        return object()

    def provisional(self, tid: int) -> bool:
        return tid == 8


def test_at_rest_only_provisional_answers_are_asked_for_again() -> None:
    scheduled = ScheduledThreads(NoWaits())  # type: ignore[arg-type]
    rows = {tid: row(tid, 1, 5) for tid in (7, 8, 9)}

    def asked(at_s: float, *recorded: int) -> tuple[list[int] | None, list[int]]:
        ran = scheduled.ask(int(100 * S + at_s * S), rows, 0, set(recorded))
        return None if ran is None else [r.tid for r in ran], [r.tid for r in scheduled.waits_only]

    assert asked(0.0) == (None, []), "everybody once"
    assert asked(0.1) == ([], [])
    assert asked(0.6) == ([], [8])
    assert asked(0.7, 9) == ([9], []), "whoever ran is looked at"
    assert asked(1.2) == (None, []), "and everybody once behind it"
    assert asked(1.8) == ([], [8]) and asked(2.4) == ([], [8])
    assert asked(6.5) == (None, []), "now and then whatever is known"
    scheduled.everybody()
    assert asked(6.6) == (None, [])


def opened() -> list[str]:
    """The performance events, and the programs in the kernel, that this process has open."""
    links = [os.readlink(fd) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]  # noqa: PTH115
    return [link for link in links if re.search("perf_event|bpf", link)]

"""A thread that waits at one place again and again looks the same in every sample: the kernel's counters tell."""

from __future__ import annotations

import time
from typing import Any

import pytest

from capacity import WAITS
from collectors import nursery
from concview.analysis.classify import classify
from concview.analysis.history import History
from concview.analysis.lock_stats import stats
from concview.analysis.locks import locks
from concview.analysis.records import MAX_WOKEN, Run
from concview.analysis.replay_buffer import ReplayBuffer
from concview.analysis.thread_window import ThreadWindow
from concview.model import (
    Counters,
    Frame,
    FrameDef,
    Hello,
    Stack,
    StackDef,
    State,
    Target,
    ThreadCounters,
    ThreadDef,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
)
from concview.session import LiveSource, Session
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

MS = 1_000_000
LOCKED = Wait(WaitKind.FUTEX, "futex", lock=0x1000, lock_kind="Lock")


class Stream:
    """A thread that every sample sees in one wait; its CPU as it is told."""

    def __init__(self, wait: Wait = LOCKED, begins: int = 1) -> None:
        self.history, self.buffer, self.now, self.first = History(), ReplayBuffer(), begins, begins
        self.ran_ns = -1
        self.apply(Hello(1, "0", Target(1, "3.13.0", (), 0.0), "direct", 100.0, 5.0, begins, 0.0, {}))
        self.apply(ThreadDef(7, "worker"))
        self.apply(FrameDef(1, Frame("work", "/srv/app.py", 7, "with lock:")))
        self.apply(StackDef(2, (1,)))
        self.apply(WaitDef(3, wait))

    def apply(self, event: object) -> None:
        self.history.apply(event)  # type: ignore[arg-type]
        self.buffer.add(event, self.history)  # type: ignore[arg-type]

    def play(self, *cpu_ms: float) -> Run:
        """200 ms for each value: twenty samples, then counters with that much CPU in total."""
        for used in cpu_ms:
            for _ in range(20):
                self.now += 10 * MS
                self.apply(Tick(self.now, 10 * MS, 0, False, (7, 2, 3, 0) if self.now == self.first + 10 * MS else ()))
            row = ThreadCounters(7, int(used * MS), 0, 0, 0, ran_ns=self.ran_ns)
            self.apply(Counters(self.now + 1, 0.0, 0.0, 0, 0, 1, (row,)))
        run = self.history.threads[7].current
        assert run is not None
        return run

    def waits(self) -> list[float]:
        """(number, mean, longest) of its waits for the lock, in seconds."""
        every = [ThreadWindow(t, 1, self.now) for t in self.history.threads.values()]
        found = locks(every, 1, self.now, True).by_key
        told = stats(found["0x1000"], 10 * MS, {})
        return [told.waits, round(told.wait_mean, 2), round(told.wait_max, 2)]


def test_one_wait_is_one() -> None:
    stream = Stream()
    run = stream.play(5, 5, 5, 5, 5)
    assert run.woken is None and run.since_ns == run.start_ns
    assert stream.waits() == [1, 1.0, 1.0]


def test_what_it_used_before_it_was_seen_waiting_is_not_a_break() -> None:
    assert Stream().play(5, 5).woken is None


def test_one_that_was_woken_waits_since_then() -> None:
    stream = Stream()
    run = stream.play(5, 5, 6, 6, 6)
    assert run.since_ns == 1 + 600 * MS + 1
    assert stream.waits() == [2, 0.5, 0.6]


def test_one_that_waits_again_and_again() -> None:
    stream = Stream()
    stream.play(*range(5, 15))
    assert stream.waits() == [9, 0.22, 0.4]  # of the first 0.2 s nothing is known


def test_who_waits_for_the_gil_is_woken_without_getting_it() -> None:
    assert Stream(Wait(WaitKind.GIL)).play(5, 6, 7).woken is None


def test_a_look_back_says_the_same() -> None:
    stream = Stream()
    run = stream.play(*[5.0] * 20, *range(6, 46))
    end = stream.now - 1000 * MS
    past = stream.buffer.plan(stream.history, end, 1000 * MS, 1000 * MS).build().threads[7].current
    assert past is not None and run.woken is not None
    assert past.woken and past.woken == [at for at in run.woken if at <= end][-len(past.woken) :]
    assert past.since_ns > end - 400 * MS


def test_it_is_bounded() -> None:
    run = Run(0, Stack(()), LOCKED, (), classify(LOCKED, Stack(())))
    for at in range(10 * MAX_WOKEN):
        run.wake(at)
    assert run.woken is not None and len(run.woken) <= MAX_WOKEN and run.since_ns == 10 * MAX_WOKEN - 1


PRODUCER = """
import queue, threading, time
jobs = queue.Queue(1)
def produce():
    while True:
        jobs.put(1)
def stuck():
    threading.Event().wait()
for work in (produce, stuck):
    threading.Thread(target=work, name=work.__name__, daemon=True).start()
print("ready", flush=True)
while True:
    time.sleep(0.05)
    jobs.get()
"""


@pytest.mark.few
def test_a_real_one_that_puts_twenty_items_a_second(any_python: Interpreter) -> None:
    with target(any_python, PRODUCER) as process:
        session = Session(LiveSource(process.pid, launcher=nursery()))
        session.start()
        try:
            end = time.monotonic() + 60
            seen: list[Any] = []
            # What a thread has used is read five times a second, on a full machine later: until that shows.
            while sum(since < 1.5 for since, _ in seen[-20:]) < 15:
                assert time.monotonic() < end, seen[-20:]
                time.sleep(0.1)
                snapshot = session.snapshot()
                threads = {t.name: t for t in snapshot.threads}
                if snapshot.elapsed_s > 4 and "produce" in threads and threads["produce"].state is State.LOCK:
                    seen.append((threads["produce"].since_s, threads["stuck"].since_s))
            locked = next(k for k in snapshot.locks if k.kind == "Queue")
        finally:
            session.close()
    assert all(since > 3.0 for _, since in seen), seen
    assert locked.site.expression == "jobs" and locked.site.function == "produce"
    assert locked.wait_mean_s < 1.0


def test_since_when_is_asked_of_the_kernel_for_those_that_were_there_before() -> None:
    stream = Stream()
    run = stream.play(5)
    assert run.before_ns == 0, "seen from the first sample on: it may be much older"
    stream = Stream(begins=90_000 * MS)
    stream.ran_ns = 30_000 * MS
    run = stream.play(5)
    assert run.before_ns == 0, "it may have run since: its CPU was read once only"
    assert stream.play(5).since_ns == 30_000 * MS
    assert stream.play(6).since_ns > 90_000 * MS, "woken"


#: Each of them says when it began to wait; on a full machine that is long after it was started.
STUCK = """
import json, socket, threading, time
began, tids, calm = {}, [], 0
a, b = socket.socketpair()
lock = threading.Lock()
def holds():
    with lock:
        tids.append(threading.get_native_id())
        began["holds"] = time.monotonic()
        a.recv(1)
def waits():
    tids.append(threading.get_native_id())
    began["waits"] = time.monotonic()
    with lock: pass
def naps():
    while True: time.sleep(0.05)
for work in (holds, waits, naps):
    threading.Thread(target=work, name=work.__name__, daemon=True).start()
    time.sleep(0.05)
while len(began) < 2: time.sleep(0.01)
while calm < 5:
    time.sleep(0.02)
    stats = [open("/proc/self/task/%d/stat" % tid).read() for tid in tids]
    calm = calm + 1 if {stat.rpartition(")")[2].split()[0] for stat in stats} == {"S"} else 0
began["rest"] = time.monotonic()
time.sleep(2.5)
print("ready", flush=True)
print(json.dumps(began), flush=True)
threading.Event().wait()
"""


@pytest.mark.few
def test_a_real_one_that_waited_before_anybody_looked(any_python: Interpreter) -> None:
    with target(any_python, STUCK) as process:
        began = process.json()
        session = Session(LiveSource(process.pid, launcher=nursery()))
        session.start()
        try:
            end = time.monotonic() + 120
            while True:
                time.sleep(0.1)
                snapshot = session.snapshot()
                threads = {t.name: t for t in snapshot.threads}
                # Believed once its CPU was read twice, which on a full machine takes its time.
                if (
                    snapshot.elapsed_s > 1.5
                    and {"holds", "waits", "naps"} <= threads.keys()
                    and all(threads[name].since_s > snapshot.elapsed_s + 1.5 for name in ("holds", "waits"))
                    and threads["naps"].since_s < snapshot.elapsed_s + 0.5  # it has run since
                ):
                    break
                assert time.monotonic() < end, [threads.get(name) for name in ("holds", "waits")]
        finally:
            session.close()
    for name in ("holds", "waits"):
        one = threads[name]
        now = snapshot.at_ns / 1e9
        # It waited from a moment between these two on; time for which the hypervisor had the CPU is missing.
        assert now - began["rest"] - 1.0 <= one.since_s <= now - began[name] + 1.0, one

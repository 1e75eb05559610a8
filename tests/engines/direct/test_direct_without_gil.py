"""Builds without a GIL: who asked for a stop of the world, and whose operation keeps an object from others."""

from __future__ import annotations

import pytest
from direct_helpers import KeepingSink, tick_until, watching

from capacity import BUSY
from concview.model import Wait
from interpreters import Interpreter, interpreters, target

FREE = [i for i in interpreters() if i.free_threaded]
pytestmark = pytest.mark.skipif(not FREE, reason="needs a free-threaded build (CONCVIEW_PYTHONS)")

STOPS = """
import gc, threading, time
STORE = [{"id": n, "tags": [n]} for n in range(200000)]
def collects():
    while True: gc.collect()
def computes():
    while True: sum(range(100))
asks = threading.Thread(target=collects, daemon=True)
others = [threading.Thread(target=computes, daemon=True) for _ in range(2)]
for thread in (asks, *others): thread.start()
print("ready", flush=True)
print(asks.native_id, *(t.native_id for t in others), flush=True)
time.sleep(1000)
"""
#: Of all interpreters: the request lies in the runtime.
STOPS_ALL = """
import sys, threading, time
def deep(n):
    if n: return deep(n - 1)
    while True: time.sleep(1000)
for _ in range(300): threading.Thread(target=deep, args=(50,), daemon=True).start()
def asks():
    while True: sys._current_frames()
def computes():
    while True: sum(range(100))
threads = [threading.Thread(target=t, daemon=True) for t in (asks, computes, computes)]
for thread in threads: thread.start()
print("ready", flush=True)
print(*(t.native_id for t in threads), flush=True)
time.sleep(1000)
"""
SHARED = """
import threading, time
SHARED = {n: float(n) for n in range(2000000)}
def copies():
    while True: SHARED.copy()
def changes():
    while True:
        SHARED[1] = 2.0
        time.sleep(0.0001)
has = threading.Thread(target=copies, daemon=True)
wants = threading.Thread(target=changes, daemon=True)
for thread in (has, wants): thread.start()
print("ready", flush=True)
print(id(SHARED), has.native_id, wants.native_id, flush=True)
time.sleep(1000)
"""
#: On one CPU that others want, too: whoever gives way to others waits for a turn of the run queue.
TRIES = """
import os, threading, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
LOCK, OTHER = threading.Lock(), threading.Lock()
def holds():
    while True:
        with LOCK: time.sleep(0.2)
        time.sleep(0.01)
def wants():
    while True:
        with LOCK:
            pass
        time.sleep(0.01)
def wants_one_of_two():
    mine, other = LOCK, OTHER
    while True:
        mine.acquire()
        mine.release()
        time.sleep(0.01)
def asks():
    while not OTHER.acquire(False): pass
def inside():
    with OTHER:
        while True: sum(range(100))
def computes():
    while True: sum(range(100))
threads = [threading.Thread(target=t, daemon=True) for t in (holds, WANTS, inside, asks, computes)]
for thread in threads:
    thread.start()
    time.sleep(0.05)
print("ready", flush=True)
print(id(LOCK), *(t.native_id for t in threads[1:]), flush=True)
time.sleep(1000)
"""
#: Closing a file takes its lock, and takes it anew to flush it: up to 3.13 as if somebody else had it.
TAKES_ANEW = """
import os, threading, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
def reads():
    while True:
        with open(__file__, "rb") as file:
            file.read()
def computes():
    while True: sum(range(100))
threads = [threading.Thread(target=t, daemon=True) for t in (reads, computes)]
for thread in threads: thread.start()
print("ready", flush=True)
print(threads[0].native_id, flush=True)
time.sleep(1000)
"""


def waits(sink: KeepingSink, tids: list[int]) -> list[Wait]:
    return [wait for tid in tids if (wait := sink.wait_of(tid)) is not None]


@pytest.mark.units(BUSY)
@pytest.mark.parametrize("source", [STOPS, STOPS_ALL], ids=["one", "all"])
@pytest.mark.parametrize("python", FREE, ids=lambda p: p.label)
def test_who_asked_for_the_stop_is_read(python: Interpreter, source: str) -> None:
    with target(python, source) as process, watching(process.pid) as (engine, sink):
        asks, *others = map(int, process.line().split())

        def told() -> list[Wait]:
            return [w for w in waits(sink, others) if w.via == "stop-the-world" and w.target]

        assert {w.target for w in tick_until(engine, told)} == {asks}


@pytest.mark.units(BUSY)
@pytest.mark.parametrize("python", FREE, ids=lambda p: p.label)
def test_whose_operation_keeps_the_object_is_read(python: Interpreter) -> None:
    with target(python, SHARED) as process, watching(process.pid) as (engine, sink):
        address, has, wants = map(int, process.line().split())

        def told() -> list[Wait]:
            return [w for w in waits(sink, [wants]) if w.via == "object" and w.target]

        (wait,) = tick_until(engine, told)
        assert (wait.lock, wait.lock_kind, wait.target) == (address, "dict", has)


@pytest.mark.units(BUSY)
@pytest.mark.parametrize("python", FREE, ids=lambda p: p.label)
@pytest.mark.parametrize("wants", ["wants", "wants_one_of_two"])
def test_who_tries_for_a_lock_before_it_parks_waits_for_it(python: Interpreter, wants: str) -> None:
    """Also where another lock is at hand that somebody has: the line says by which name it takes one."""
    with target(python, TRIES.replace("WANTS", wants)) as process, watching(process.pid) as (engine, sink):
        lock, tid, *others = map(int, process.line().split())

        def tries() -> bool:
            wait = sink.wait_of(tid)
            told = [w for w in waits(sink, others) if w.syscall == "sched_yield"]
            assert told == [], "who has it, who only asks for it, and who computes"
            return wait is not None and wait.syscall == "sched_yield" and wait.lock == lock

        tick_until(engine, tries, pause=0.002)


@pytest.mark.units(BUSY)
@pytest.mark.parametrize("python", FREE, ids=lambda p: p.label)
def test_who_takes_the_lock_of_an_object_that_it_has_waits_for_nobody(python: Interpreter) -> None:
    """It gives way forty times all the same, each time for a turn of the run queue."""
    with target(python, TAKES_ANEW) as process, watching(process.pid) as (engine, sink):
        tid = int(process.line())
        looks = 0

        def waits_for_nobody() -> bool:
            nonlocal looks
            told = [w for w in waits(sink, [tid]) if w.via == "object"]
            assert told == []
            looks += any(name == "reads" for name, *_ in sink.stack_of(tid))
            return looks >= 300

        tick_until(engine, waits_for_nobody)

"""Queues and pools read from outside, against what the target says of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from direct_helpers import KeepingSink, tick_until, tick_until_passes, ticks, watching

from capacity import WAITS
from concview.model import Depths, PoolDepth, QueueDepth
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

QUEUES = r"""
import json, queue, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
GLOBAL = queue.Queue()
class Own(queue.Queue):
    pass
class Consumer:
    def __init__(self):
        self.jobs = Own(8)
    def run(self):
        jobs = self.jobs
        del jobs
        time.sleep(100000)
def closed(bounded):
    def work():
        bounded
        time.sleep(100000)
    return work
def local(lifo, ordered, simple):
    time.sleep(100000)
def user():
    GLOBAL
    time.sleep(100000)
consumer, bounded = Consumer(), queue.Queue(300)
lifo, ordered, simple = queue.LifoQueue(5), queue.PriorityQueue(), queue.SimpleQueue()
threads = {}
for name, function, args in [("consumer", consumer.run, ()), ("closed", closed(bounded), ()),
                             ("local", local, (lifo, ordered, simple)), ("user", user, ())]:
    threads[name] = threading.Thread(target=function, args=args, daemon=True)
    threads[name].start()
stop = threading.Event()
pool = ThreadPoolExecutor(3, thread_name_prefix="p\x1bool")
for i in range(13):
    pool.submit(stop.wait)
print("ready")
print(json.dumps({name: t.native_id for name, t in threads.items()}))
def fill(q, n, out=0):
    for i in range(n):
        q.put(i)
    for i in range(out):
        q.get()
for line in sys.stdin:
    for q, n, out in ((consumer.jobs, 3, 0), (bounded, 200, 131), (lifo, 4, 2), (ordered, 7, 6), (simple, 200, 77),
                      (GLOBAL, 1000, 1)):
        fill(q, n, out)
    print("filled")
    for line in sys.stdin:
        fill(bounded, 100, 60)
        fill(GLOBAL, 70, 1000)
        bounded.task_done()
        print("again")
        break
    break
time.sleep(100000)
"""


def _last(sink: KeepingSink) -> tuple[dict[str, QueueDepth], tuple[PoolDepth, ...]]:
    depths = [e for e in sink.events if isinstance(e, Depths)]
    return ({q.name or "pool": q for q in depths[-1].queues}, depths[-1].pools) if depths else ({}, ())


def _reports(sink: KeepingSink) -> int:
    return sum(isinstance(e, Depths) for e in sink.events)


def test_what_queues_hold(direct_python: Interpreter) -> None:
    with target(direct_python, QUEUES) as process, watching(process.pid) as (engine, sink):
        tids: Any = json.loads(process.line())

        def empty() -> dict[str, QueueDepth]:
            queues, (pool,) = _last(sink)
            assert {n: (q.size, q.most, q.unfinished) for n, q in queues.items()} == {
                "self.jobs": (0, 8, 0),
                "bounded": (0, 300, 0),
                "lifo": (0, 5, 0),
                "ordered": (0, 0, 0),
                "simple": (0, 0, -1),
                "GLOBAL": (0, 0, 0),
                "pool": (10, 0, -1),
            }
            assert {n: q.kind for n, q in queues.items()} == {
                "self.jobs": "Own",
                "bounded": "Queue",
                "lifo": "LifoQueue",
                "ordered": "PriorityQueue",
                "simple": "SimpleQueue",
                "GLOBAL": "Queue",
                "pool": "SimpleQueue",
            }
            assert tids["consumer"] in queues["self.jobs"].users and tids["closed"] in queues["bounded"].users
            assert tids["local"] in queues["lifo"].users and tids["user"] in queues["GLOBAL"].users
            assert tids["consumer"] not in queues["GLOBAL"].users, "its function does not refer to it"
            assert (pool.name, pool.most, pool.threads, pool.queue) == ("p\\x1bool", 3, 3, queues["pool"].address)
            assert len(pool.workers) == 3
            return queues

        before = tick_until_passes(engine, empty)

        def moved(name: str) -> tuple[int, int]:
            queues = _last(sink)[0]
            return queues[name].puts - before[name].puts, queues[name].gets - before[name].gets

        process.send("")
        assert process.line() == "filled"

        def filled() -> None:
            queues = _last(sink)[0]
            assert {n: q.size for n, q in queues.items()} == {
                "self.jobs": 3,
                "bounded": 69,
                "lifo": 2,
                "ordered": 1,
                "simple": 123,
                "GLOBAL": 999,
                "pool": 10,
            }

            assert moved("bounded") == (200, 131) and moved("GLOBAL") == (1000, 1) and moved("self.jobs") == (3, 0)
            assert queues["lifo"].puts == queues["ordered"].puts == -1, "a list does not count"

        tick_until_passes(engine, filled)

        process.send("")
        assert process.line() == "again"

        def again() -> None:
            queues = _last(sink)[0]
            assert queues["bounded"].size == 109 and queues["bounded"].unfinished == 299
            assert moved("bounded") == (300, 191) and moved("GLOBAL") == (1070, 1001)

        tick_until_passes(engine, again)


RING = r"""
import queue, sys, threading, time
simple = queue.SimpleQueue()
for i in range(100):
    simple.put(i)
def hold(simple):
    time.sleep(100000)
threading.Thread(target=hold, args=(simple,), daemon=True).start()
print("ready")
for line in sys.stdin:
    for i in range(int(line)):
        simple.put(i)
        simple.get()
    print("done")
"""


@pytest.mark.few
def test_a_ring_counts_as_long_as_it_turns_slowly(direct_python: Interpreter) -> None:
    """100 items lie in a ring of 128: twenty more turn it by less than a quarter, a hundred more by too much."""
    with target(direct_python, RING) as process, watching(process.pid) as (engine, sink):
        ring = direct_python.version >= (3, 13)

        def say(count: int) -> None:
            process.send(str(count))
            assert process.line() == "done"

        def twenty_more() -> None:
            first = _last(sink)[0]["simple"]
            assert first.size == 100
            if ring:
                assert start.puts >= 0 and (first.puts - start.puts, first.gets - start.gets) == (20, 20)
            else:
                assert start.puts == first.puts == -1, "a list does not count"

        def too_many() -> None:
            assert _last(sink)[0]["simple"].puts == -1, "too much for one look"

        tick_until(engine, lambda: "simple" in _last(sink)[0] and _reports(sink) >= 6)
        start = _last(sink)[0]["simple"]
        say(20)
        tick_until_passes(engine, twenty_more)
        say(100)
        tick_until_passes(engine, too_many)


HOSTILE = r"""
import threading, time
class Queue:  # has the name, and nothing else
    pass
class Liar:
    def __init__(self):
        self.mutex = self.not_empty = self.not_full = self.all_tasks_done = None
        self.maxsize, self.queue, self.unfinished_tasks = "many", {}, object()
Liar.__name__ = "Queue"
import queue
class Broken(queue.Queue):
    def __init__(self):
        super().__init__(4)
        self.queue = "no container"
class Odd(queue.Queue):
    def __init__(self):
        super().__init__()
        self.maxsize = -(1 << 200)
def hold(a, b, c, good, odd):
    time.sleep(100000)
threading.Thread(target=hold, args=(Queue(), Liar(), Broken(), queue.Queue(1), Odd()), daemon=True).start()
print("ready")
time.sleep(100000)
"""


@pytest.mark.few
def test_only_queues_are_queues(direct_python: Interpreter) -> None:
    with target(direct_python, HOSTILE) as process, watching(process.pid) as (engine, sink):

        def two() -> None:
            queues = _last(sink)[0]
            assert set(queues) == {"good", "odd"} and queues["odd"].most == 0

        tick_until_passes(engine, two)
        ticks(engine, 50, pause=0.02)
        two()
        assert engine.tally.misses == 0

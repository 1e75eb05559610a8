"""Waiting without a lock in between: for a future that another thread runs, for room in a queue."""

from __future__ import annotations

import truth

from concview.analysis import graph
from concview.model import Confidence
from interpreters import Interpreter, target

#: A chain over two futures and a lock; a circle of a future and a lock; a future that is still queued.
FUTURES = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
CHAIN, CIRCLE = threading.Lock(), threading.Lock()
tids, ready = {}, threading.Barrier(6)
def here(name):
    tids[name] = threading.get_native_id()
    ready.wait()
def holder():
    with CHAIN:
        here("holder")
        time.sleep(1000)
def inner():
    here("inner")
    with CHAIN: pass
inner_pool, outer_pool, other_pool = ThreadPoolExecutor(1), ThreadPoolExecutor(1), ThreadPoolExecutor(1)
def outer():
    future = inner_pool.submit(inner)
    here("outer")
    future.result()
def take():
    here("wants")
    with CIRCLE: pass
def circle():
    with CIRCLE:
        future = other_pool.submit(take)
        here("circle")
        future.result()
def queued():
    tids["queued"] = threading.get_native_id()
    inner_pool.submit(print).result()
threading.Thread(target=holder, daemon=True).start()
while "holder" not in tids: time.sleep(0.01)
outer_pool.submit(outer)
threading.Thread(target=circle, daemon=True).start()
ready.wait()
threading.Thread(target=queued, daemon=True).start()
while "queued" not in tids: time.sleep(0.01)
print("ready", flush=True)
print(*[tids[n] for n in ("holder", "inner", "outer", "wants", "circle", "queued")], flush=True)
time.sleep(1000)
"""

QUEUE = """
import queue, sys, threading, time
items = queue.Queue(2)
def produce():
    sys.stdin.readline()
    while True:
        items.put(1)
def consume():
    items.get()
    producer.join()
producer = threading.Thread(target=produce, daemon=True)
consumer = threading.Thread(target=consume, daemon=True)
producer.start(), consumer.start()
print("ready", flush=True)
print(producer.native_id, consumer.native_id, flush=True)
time.sleep(1000)
"""


def links(sample: truth.Sample) -> set[tuple[int, int, str]]:
    return {(e.waiter, e.holder, e.via) for e in sample.edges}


def test_a_future_leads_to_the_thread_that_runs_it(direct_python: Interpreter) -> None:
    with target(direct_python, FUTURES) as process:
        holder, inner, outer, wants, circle, queued = map(int, process.line().split())
        expected = {
            (outer, inner, "Future.result"), (inner, holder, ""), (circle, wants, "Future.result"), (wants, circle, ""),
        }  # fmt: skip
        sample = truth.watch(process.pid, 0.5, 50, lambda samples: samples and links(samples[-1]) == expected)[-1]
    assert links(sample) == expected, queued
    assert all(e.confidence is Confidence.EXACT for e in sample.edges)
    chain = next(c for c in graph.chains(sample.edges) if not c.cycle)
    assert (chain.root, set(chain.waiters)) == (holder, {inner, outer})
    assert [{e.waiter for e in c} for c in graph.cycles(sample.edges)] == [{wants, circle}]


def test_a_queue_leads_to_the_only_one_who_was_seen_to_empty_it(direct_python: Interpreter) -> None:
    with target(direct_python, QUEUE) as process:
        producer, consumer = map(int, process.line().split())
        seen_to_empty_it = False

        def both_wait(samples: list[truth.Sample]) -> bool:
            nonlocal seen_to_empty_it
            if not samples:
                return False
            now = {tid: run.wait.via for tid, run in samples[-1].runs}
            if not seen_to_empty_it and now.get(consumer) == "Queue.get":
                seen_to_empty_it = True
                process.send("fill it")
            return len(links(samples[-1])) == 2

        samples = truth.watch(process.pid, 0.5, 50, both_wait)
    found = {(e.waiter, e.holder, e.via, e.confidence) for e in samples[-1].edges}
    assert found == {
        (producer, consumer, "Queue.put", Confidence.INFERRED),
        (consumer, producer, "Thread.join", Confidence.EXACT),
    }

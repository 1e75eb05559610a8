"""A PriorityQueue with one worker that always has urgent jobs: four callers of normal ones wait for ever."""

import itertools
import queue
import threading
import time
import _go

EXPECT = "waits: signal"
jobs = queue.PriorityQueue()
n = itertools.count()


def worker():
    while True:
        _, _, f, done = jobs.get()
        f()
        done.set()


def render():
    time.sleep(0.02)


def ask(level, f):
    done = threading.Event()
    jobs.put((level, next(n), f, done))
    done.wait()


def urgent():
    while True:
        ask(0, render)


def normal():
    while True:
        ask(9, render)


threading.Thread(target=worker, name="worker", daemon=True).start()
for i in range(3):
    threading.Thread(target=urgent, name=f"urgent-{i}", daemon=True).start()
time.sleep(0.3)
for i in range(4):
    threading.Thread(target=normal, name=f"normal-{i}", daemon=True).start()
_go.ready(3)
threading.Event().wait()

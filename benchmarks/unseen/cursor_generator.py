"""Connections kept by generators that nobody closes."""

import queue
import threading
import time
import _go

EXPECT = "stuck by pool-leak"


class Conn:
    pass


free = queue.LifoQueue()
for _ in range(3):
    free.put(Conn())
kept = []


def rows(sql):
    c = free.get()
    try:
        for i in range(10):
            yield c, i
    finally:
        free.put(c)


def job(n):
    while True:
        g = rows("select")
        first = next(g)
        kept.append(g)
        time.sleep(0.05)


for i in range(5):
    threading.Thread(target=job, args=(i,), name="job-%d" % i, daemon=True).start()
_go.ready()
time.sleep(1000)

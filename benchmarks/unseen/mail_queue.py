"""A multiprocessing.Queue(5) whose consumer has ended: three threads put."""

import multiprocessing as mp
import threading
import time

import _go

EXPECT = "stuck or still or says not everybody moves or held up"


def consume(q):
    q.get()


if __name__ == "__main__":
    q = mp.get_context("fork").Queue(5)
    p = mp.get_context("fork").Process(target=consume, args=(q,))
    p.start()

    def make(n):
        while True:
            q.put(n)

    for n in range(3):
        threading.Thread(target=make, args=(n,), name=f"make-{n}", daemon=True).start()
    _go.ready()
    threading.Event().wait()

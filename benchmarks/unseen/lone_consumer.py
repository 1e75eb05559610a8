"""A consumer of one thread; the function that would put jobs in was never registered anywhere."""

import queue
import threading

import _go

EXPECT = "stuck"

jobs = queue.Queue()


def on_file(path):
    jobs.put(path)


_go.ready()
next(t for t in threading.enumerate() if t.name == "announce").join()
while True:
    print(jobs.get())

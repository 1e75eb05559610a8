"""joblib, threading backend: tasks take from a queue that the caller fills once it has the results."""

import queue
import threading
import _go
from joblib import Parallel, delayed

NEEDS = ("joblib",)
EXPECT = "stuck"
inputs = queue.Queue()


def score(n):
    return n * inputs.get()


def main():
    results = Parallel(n_jobs=3, backend="threading")(delayed(score)(n) for n in range(3))
    for r in results:
        inputs.put(r)


_go.ready(3)
main()

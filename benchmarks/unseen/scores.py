"""joblib, threads: the tasks take from a queue which the caller of Parallel fills afterwards."""

import queue
import threading
import _go
from joblib import Parallel, delayed

NEEDS = ("joblib",)
EXPECT = "stuck or still or named queue-dead-end"
q = queue.Queue()


def score(n):
    return q.get() * 2


_go.ready()
r = Parallel(n_jobs=4, backend="threading")(delayed(score)(n) for n in range(4))
for n in range(4):
    q.put(n)

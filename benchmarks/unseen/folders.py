"""multiprocessing.pool.ThreadPool: tasks that map over the same pool (python/cpython#79448)."""

from multiprocessing.pool import ThreadPool
import time
import _go

EXPECT = "named nested-executor-deadlock"
pool = ThreadPool(3)


def size(f):
    time.sleep(0.05)
    return f


def folder(n):
    return sum(pool.map(size, range(n)))


rs = [pool.apply_async(folder, (4,)) for _ in range(3)]
_go.ready()
print([r.get() for r in rs])

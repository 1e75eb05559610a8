"""A barrier for four in a pool of three."""

import threading
from concurrent.futures import ThreadPoolExecutor
import _go

EXPECT = "stuck by all-workers-busy"
gate = threading.Barrier(4)


def shard(i):
    x = i * i
    gate.wait()
    return x


ex = ThreadPoolExecutor(3, thread_name_prefix="shard")
fs = [ex.submit(shard, i) for i in range(4)]
_go.ready()
print(sum(f.result() for f in fs))

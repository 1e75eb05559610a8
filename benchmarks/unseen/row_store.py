"""The end of an executor's with waits for consumers of which only one is told to end."""

import queue
import time
from concurrent.futures import ThreadPoolExecutor
import _go

EXPECT = "stuck"
rows = queue.Queue()


def store():
    for row in iter(rows.get, None):
        time.sleep(0.001)


_go.ready(2)
with ThreadPoolExecutor(3, thread_name_prefix="store") as ex:
    for _ in range(3):
        ex.submit(store)
    for n in range(100):
        rows.put(n)
    rows.put(None)

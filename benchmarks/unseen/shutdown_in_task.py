"""A worker that joins another one, which waits for its result."""

from concurrent.futures import ThreadPoolExecutor
import threading
import time
import _go

EXPECT = "stuck by deadlock"
ex = ThreadPoolExecutor(2, thread_name_prefix="etl")
box = {}


def cleaner():
    time.sleep(0.2)
    for t in list(ex._threads):
        if t is not threading.current_thread():
            t.join()


def reporter():
    return box["f"].result()


box["f"] = ex.submit(cleaner)
g = ex.submit(reporter)
_go.ready()
g.result()

"""At exit the executor's threads are joined first; a task waits for an Event that an atexit handler would set afterwards."""

import atexit
import threading
import _go
from concurrent.futures import ThreadPoolExecutor

EXPECT = "says The main program has ended"
stop = threading.Event()
flushed = threading.Event()
atexit.register(flushed.set)


def flush_when_told():
    flushed.wait()
    print("flushed")


ex = ThreadPoolExecutor(2, thread_name_prefix="flush")
ex.submit(flush_when_told)
ex.submit(flush_when_told)
_go.ready(3)

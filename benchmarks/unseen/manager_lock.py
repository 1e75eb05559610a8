"""A lock of multiprocessing.Manager that is kept."""

import multiprocessing as mp
import signal
import threading
import time
from multiprocessing.managers import SyncManager

import _go

EXPECT = "held up"
if __name__ == "__main__":
    m = SyncManager(ctx=mp.get_context("fork"))
    m.start(signal.alarm, (600,))  # it ends by itself, too, where this program was killed
    lock = m.Lock()

    def holder():
        with lock:
            time.sleep(1000)

    def want():
        with lock:
            pass

    threading.Thread(target=holder, name="holder", daemon=True).start()
    time.sleep(0.3)
    for i in range(3):
        threading.Thread(target=want, name="want-%d" % i, daemon=True).start()
    _go.ready()
    time.sleep(1000)

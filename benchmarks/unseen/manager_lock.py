"""A lock of multiprocessing.Manager that is kept."""

import multiprocessing as mp
import threading
import time
import _go

EXPECT = "held up"
if __name__ == "__main__":
    m = mp.get_context("fork").Manager()
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

"""multiprocessing.Pool.map, and a worker that was killed with its task."""

import multiprocessing as mp
import os
import signal
import sys
import threading
import time

EXPECT = "says the result of a task in another process"
signal.alarm(600)


def frame(n):
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return n


if __name__ == "__main__":
    pool = mp.Pool(2)

    def tell():
        time.sleep(3)
        print("ready", flush=True)
        time.sleep(100)

    threading.Thread(target=tell, daemon=True, name="tell").start()
    signal.signal(signal.SIGTERM, lambda *a: (pool.terminate(), os._exit(0)))
    print(pool.map(frame, range(8), chunksize=1))

"""Process.join before the child's queue is emptied."""

import multiprocessing as mp
import os
import signal
import threading
import time

EXPECT = "named child-pipe-deadlock"
signal.alarm(600)


def extract(q):
    for i in range(2000):
        q.put("row" * 100)


if __name__ == "__main__":
    q = mp.Queue()
    p = mp.Process(target=extract, args=(q,))
    p.start()
    signal.signal(signal.SIGTERM, lambda *a: (p.kill(), os._exit(0)))

    def tell():
        time.sleep(2)
        print("ready", flush=True)
        time.sleep(100)

    threading.Thread(target=tell, daemon=True).start()
    p.join()
    while not q.empty():
        q.get()

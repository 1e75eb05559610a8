"""A finalizer that takes the lock its thread holds."""

import gc
import signal
import threading
import time

EXPECT = "named self-deadlock"
signal.alarm(600)


class Tracker:
    def __init__(self):
        self._lock = threading.Lock()
        self.open = {}

    def add(self, k, v):
        with self._lock:
            self.open[k] = v
            junk = [[] for _ in range(2000)]
            return len(junk)

    def remove(self, k):
        with self._lock:
            self.open.pop(k, None)


tracker = Tracker()


class ScratchFile:
    def __init__(self, n):
        self.n = n
        self.me = self
        tracker.add(n, "path%d" % n)

    def __del__(self):
        tracker.remove(self.n)


def work():
    n = 0
    while True:
        ScratchFile(n)
        n += 1


t = threading.Thread(target=work, name="scratch", daemon=True)
t.start()
time.sleep(2)
print("ready", flush=True)
t.join()

"""A lock that another thread held when the process forked."""

import os
import signal
import sys
import threading
import time

EXPECT = "named lost-at-fork"
signal.alarm(600)


class Registry:
    def __init__(self):
        self._lock = threading.Lock()
        self.counters = {}

    def inc(self, name):
        with self._lock:
            time.sleep(0.05)
            self.counters[name] = self.counters.get(name, 0) + 1


registry = Registry()


def reporter():
    while True:
        registry.inc("ticks")


threading.Thread(target=reporter, daemon=True, name="reporter").start()
time.sleep(0.5)
pid = os.fork()
if pid == 0:
    registry.inc("child_started")
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *a: (os.kill(pid, 9), os._exit(0)))
time.sleep(0.5)
print("watch", pid, flush=True)
print("ready", flush=True)
os.waitpid(pid, 0)

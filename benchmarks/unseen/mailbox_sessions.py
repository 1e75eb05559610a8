"""A pool on a Condition, whose sessions are not given back after an error."""

import collections
import contextlib
import random
import signal
import threading
import time

EXPECT = "named pool-leak"
signal.alarm(600)


class Session:
    def __init__(self, n):
        self.n = n

    def send(self, m):
        time.sleep(0.01)
        if m % 11 == 7:
            raise ConnectionError("452 mailbox full")


class SessionBox:
    def __init__(self, size):
        self._idle = collections.deque(Session(i) for i in range(size))
        self._changed = threading.Condition()

    def checkout(self):
        with self._changed:
            while not self._idle:
                self._changed.wait()
            return self._idle.popleft()

    def checkin(self, s):
        with self._changed:
            self._idle.append(s)
            self._changed.notify()


box = SessionBox(4)
lost = []


def deliver_all(start):
    for m in range(start, 10000, 6):
        s = box.checkout()
        try:
            s.send(m)
        except ConnectionError:
            lost.append(s)
            continue
        box.checkin(s)


ts = [threading.Thread(target=deliver_all, args=(i,), name=f"smtp_{i}") for i in range(6)]
for t in ts:
    t.start()
time.sleep(2.5)
print("ready", flush=True)
for t in ts:
    t.join()

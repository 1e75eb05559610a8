"""One Condition for two groups, and notify() where notify_all() was meant."""

import threading
import collections
import time
import random
import _go

EXPECT = "stuck"


class Buffer:
    def __init__(self, n):
        self.c = threading.Condition()
        self.items = collections.deque()
        self.n = n

    def put(self, x):
        with self.c:
            while len(self.items) >= self.n:
                self.c.wait()
            self.items.append(x)
            self.c.notify()

    def take(self):
        with self.c:
            while not self.items:
                self.c.wait()
            x = self.items.popleft()
            self.c.notify()
            return x


b = Buffer(1)


def prod():
    while True:
        b.put(1)


def cons():
    while True:
        b.take()


for i in range(6):
    threading.Thread(target=prod, name="producer-%d" % i, daemon=True).start()
for i in range(2):
    threading.Thread(target=cons, name="consumer-%d" % i, daemon=True).start()
_go.ready(4)
time.sleep(1000)

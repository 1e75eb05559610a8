"""A rate limiter that sleeps with its lock."""

import threading
import time
import _go

EXPECT = "held up: lock"


class Limiter:
    def __init__(self, rate):
        self.mutex = threading.Lock()
        self.gap = 1 / rate
        self.next = 0.0

    def take(self):
        with self.mutex:
            wait = self.next - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.next = time.monotonic() + self.gap


lim = Limiter(20)


def crawl():
    while True:
        lim.take()
        time.sleep(0.01)


for i in range(10):
    threading.Thread(target=crawl, name="crawl-%d" % i, daemon=True).start()
_go.ready()
time.sleep(1000)

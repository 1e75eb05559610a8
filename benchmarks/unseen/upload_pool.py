"""A bounded pool by hand: who adds waits for a permit, which its workers give back by a function they were handed."""

import queue
import threading
import time
import _go

EXPECT = "held up: permit"


class Pool:
    def __init__(self, n):
        self._sem = threading.BoundedSemaphore(n)
        self._q = queue.Queue()
        for k in range(n):
            threading.Thread(target=self._work, name=f"pool-{k}", daemon=True).start()

    def _work(self):
        while True:
            f, done = self._q.get()
            f()
            done()

    def add(self, f):
        self._sem.acquire()
        self._q.put((f, self._sem.release))


p = Pool(4)
_go.ready()
while True:
    p.add(lambda: time.sleep(0.5))

"""A prefetcher (a data loader) whose thread has died of an error: the training loop waits for the next batch for ever."""

import queue
import sys
import threading

import _go


EXPECT = "stuck or still or says nothing can go on"


class Prefetcher:
    def __init__(self, source, depth=4):
        self.ready = queue.Queue(depth)
        self.source = source
        self.thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)
        self.thread.start()

    def _fill(self):
        for item in self.source:
            self.ready.put(item)

    def __iter__(self):
        while True:
            yield self.ready.get()


def records():
    for n in range(20):
        if n == 15:
            raise ValueError("corrupt record")
        yield n


threading.excepthook = lambda a: None


def train():
    for batch in Prefetcher(records()):
        pass


t = threading.Thread(target=train, name="trainer")
t.start()
_go.ready()
t.join()

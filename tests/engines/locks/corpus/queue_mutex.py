"""queue.Queue: its mutex is held while an item is put; put and get wait for room and for items."""

import contextlib
import queue


class Slow(queue.Queue):
    log = None

    def _put(self, item):
        self.log.has(self.mutex)
        self.log.pause()
        super()._put(item)
        self.log.leaves(self.mutex)


QUEUE = Slow(2)


def put(log):
    while log.on:
        log.asks(QUEUE.mutex)
        with contextlib.suppress(queue.Full):
            QUEUE.put(1, timeout=0.3)
        log.left(QUEUE.mutex)


def get(log):
    while log.on:
        with contextlib.suppress(queue.Empty):
            QUEUE.get(timeout=0.3)
        log.rest()


def start(log):
    Slow.log = log
    log.thread(put, log)
    log.thread(put, log)
    log.thread(get, log)

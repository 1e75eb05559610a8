"""Another lock each time, and nothing on the stack changes but the lock itself."""

import itertools
import threading
import time

LOCKS = itertools.cycle([threading.Lock() for _ in range(3)])


class Turn:
    def __init__(self):
        self.lock = None

    def next(self, log):
        self.lock = next(LOCKS)
        log.asks(self.lock)
        return self.lock


def work(log, turn):
    while log.on:
        with turn.next(log):
            log.has(turn.lock)
            time.sleep(0.006)
            log.leaves(turn.lock)
        log.left(turn.lock)


def start(log):
    log.thread(work, log, Turn())
    log.thread(work, log, Turn())

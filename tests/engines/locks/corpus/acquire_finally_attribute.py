"""acquire, try, finally: release, on an attribute of several objects."""

import threading


class Shelf:
    def __init__(self):
        self.guard = threading.Lock()

    def tidy(self, log):
        log.asks(self.guard, "finally")
        self.guard.acquire()
        try:
            log.has(self.guard, "finally")
            log.pause()
            log.leaves(self.guard)
        finally:
            self.guard.release()
        log.left(self.guard)


def work(log, shelf):
    while log.on:
        shelf.tidy(log)
        log.rest()


def start(log):
    one, other = Shelf(), Shelf()
    for shelf in (one, one, other):
        log.thread(work, log, shelf)

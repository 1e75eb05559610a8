"""The base class makes the lock, the derived class takes it, through super() as well."""

import threading


class Base:
    def __init__(self):
        self._lock = threading.RLock()

    def step(self, log):
        log.pause()


class Derived(Base):
    def step(self, log):
        log.asks(self._lock)
        with self._lock:
            log.has(self._lock)
            super().step(log)
            log.leaves(self._lock)
        log.left(self._lock)


def work(log, thing):
    while log.on:
        thing.step(log)
        log.rest()


def start(log):
    thing = Derived()
    for _ in range(2):
        log.thread(work, log, thing)

"""One lock for all instances."""

import threading


class Registry:
    _lock = threading.Lock()

    @classmethod
    def add(cls, log):
        log.asks(cls._lock)
        with cls._lock:
            log.has(cls._lock)
            log.pause()
            log.leaves(cls._lock)
        log.left(cls._lock)


def work(log):
    while log.on:
        Registry.add(log)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

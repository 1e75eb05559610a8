"""A context manager class of the program's own around a lock."""

import threading


class Guard:
    def __init__(self):
        self._inner = threading.Lock()

    def __enter__(self):
        self._inner.acquire()
        return self

    def __exit__(self, *args):
        self._inner.release()


GUARD = Guard()


def work(log):
    while log.on:
        log.asks(GUARD._inner, "manager")
        with GUARD:
            log.has(GUARD._inner, "manager")
            log.pause()
            log.leaves(GUARD._inner)
        log.left(GUARD._inner)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

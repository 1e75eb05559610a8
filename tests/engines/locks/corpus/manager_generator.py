"""contextlib.contextmanager around a `with`."""

import contextlib
import threading

LOCK = threading.Lock()


@contextlib.contextmanager
def locked(lock):
    with lock:
        yield


def work(log):
    while log.on:
        log.asks(LOCK)
        with locked(LOCK):
            log.has(LOCK)
            log.pause()
            log.leaves(LOCK)
        log.left(LOCK)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

"""A lock of the module, taken by `with`."""

import threading

LOCK = threading.Lock()


def work(log):
    while log.on:
        log.asks(LOCK)
        with LOCK:
            log.has(LOCK)
            log.pause()
            log.leaves(LOCK)
        log.left(LOCK)
        log.rest()


def start(log):
    for _ in range(3):
        log.thread(work, log)

"""A lock per thread, in threading.local: nobody ever waits."""

import threading

LOCAL = threading.local()


def work(log):
    LOCAL.lock = threading.Lock()
    while log.on:
        log.asks(LOCAL.lock)
        with LOCAL.lock:
            log.has(LOCAL.lock)
            log.pause()
            log.leaves(LOCAL.lock)
        log.left(LOCAL.lock)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

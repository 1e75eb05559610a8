"""A generator that holds a lock between its items."""

import threading

LOCK = threading.Lock()


def items(log):
    log.asks(LOCK, "generator")
    with LOCK:
        log.has(LOCK, "generator")
        yield 1
        yield 2
        log.leaves(LOCK)
    log.left(LOCK)


def work(log):
    while log.on:
        for _ in items(log):
            log.pause()
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

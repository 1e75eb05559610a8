"""An RLock taken again by who has it."""

import threading

LOCK = threading.RLock()


def inner(log, depth):
    with LOCK:
        if depth:
            inner(log, depth - 1)
        else:
            log.pause()


def work(log):
    while log.on:
        log.asks(LOCK)
        with LOCK:
            log.has(LOCK)
            inner(log, 3)
            log.pause()
            log.leaves(LOCK)
        log.left(LOCK)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

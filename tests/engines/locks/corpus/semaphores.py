"""A Semaphore for two, and a BoundedSemaphore for one."""

import threading

TWO = threading.Semaphore(2)
ONE = threading.BoundedSemaphore(1)


def shared(log):
    while log.on:
        log.asks(TWO)
        with TWO:
            log.has(TWO)
            log.pause()
            log.leaves(TWO)
        log.left(TWO)


def alone(log):
    while log.on:
        log.asks(ONE)
        with ONE:
            log.has(ONE)
            log.pause()
            log.leaves(ONE)
        log.left(ONE)
        log.rest()


def start(log):
    for _ in range(3):
        log.thread(shared, log)
    for _ in range(2):
        log.thread(alone, log)

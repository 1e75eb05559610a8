"""Locks left by exceptions, and held while they are handled."""

import threading

OUTER, INNER = threading.Lock(), threading.RLock()


def work(log):
    while log.on:
        log.asks(OUTER)
        with OUTER:
            log.has(OUTER)
            log.asks(INNER)
            try:
                with INNER:
                    log.has(INNER)
                    log.pause()
                    log.leaves(INNER)
                    raise ValueError
            except ValueError:
                log.left(INNER)
                log.pause()
            log.leaves(OUTER)
        log.left(OUTER)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

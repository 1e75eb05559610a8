"""Two locks, one inside the other, always in the same order."""

import threading

OUTER, INNER = threading.Lock(), threading.Lock()


def work(log):
    while log.on:
        log.asks(OUTER)
        with OUTER:
            log.has(OUTER)
            log.pause()
            log.asks(INNER)
            with INNER:
                log.has(INNER)
                log.pause()
                log.leaves(INNER)
            log.left(INNER)
            log.leaves(OUTER)
        log.left(OUTER)
        log.rest()


def only_inner(log):
    while log.on:
        log.asks(INNER)
        with INNER:
            log.has(INNER)
            log.pause()
            log.leaves(INNER)
        log.left(INNER)
        log.rest()


def start(log):
    log.thread(work, log)
    log.thread(work, log)
    log.thread(only_inner, log)

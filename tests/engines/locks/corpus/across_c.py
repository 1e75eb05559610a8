"""Locks held across calls into C that call back: sorted(key=...), functools.reduce, map; and taken in such a call."""

import functools
import threading

OUTER, INNER = threading.Lock(), threading.RLock()


def key(log, value):
    log.asks(INNER)
    with INNER:
        log.has(INNER)
        log.pause()
        log.leaves(INNER)
    log.left(INNER)
    return -value


def add(log, total, value):
    log.rest()
    return total + value


def work(log):
    while log.on:
        log.asks(OUTER)
        with OUTER:
            log.has(OUTER)
            sorted((1, 2), key=functools.partial(key, log))
            functools.reduce(functools.partial(add, log), (1, 2, 3))
            list(map(functools.partial(key, log), (3,)))
            log.leaves(OUTER)
        log.left(OUTER)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

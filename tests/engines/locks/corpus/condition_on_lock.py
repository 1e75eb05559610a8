"""Two conditions on one lock that is also taken directly: three names of one lock."""

import threading

LOCK = threading.Lock()
EMPTY, FULL = threading.Condition(LOCK), threading.Condition(LOCK)


def directly(log):
    while log.on:
        log.asks(LOCK)
        with LOCK:
            log.has(LOCK)
            log.pause()
            log.leaves(LOCK)
        log.left(LOCK)
        log.rest()


def through(log, condition):
    while log.on:
        log.asks(condition)
        with condition:
            log.has(condition)
            log.pause()
            condition.notify_all()
            log.leaves(condition)
        log.left(condition)
        log.rest()


def start(log):
    log.thread(directly, log)
    log.thread(through, log, EMPTY)
    log.thread(through, log, FULL)

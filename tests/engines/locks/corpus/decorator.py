"""A decorator that runs a function under a lock."""

import functools
import threading

LOCK = threading.Lock()


def synchronized(lock):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(log):
            log.asks(lock)
            with lock:
                result = function(log)
            log.left(lock)
            return result

        return wrapper

    return decorate


@synchronized(LOCK)
def turn(log):
    log.has(LOCK)
    log.pause()
    log.leaves(LOCK)


def work(log):
    while log.on:
        turn(log)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

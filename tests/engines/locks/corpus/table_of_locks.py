"""Locks in a dict and in a list, another one each time, on one line."""

import random
import threading

BY_NAME = {name: threading.Lock() for name in ("red", "green", "blue")}
STRIPES = [threading.Lock() for _ in range(4)]


def by_name(log):
    while log.on:
        name = random.choice(sorted(BY_NAME))
        log.asks(BY_NAME[name])
        with BY_NAME[name]:
            log.has(BY_NAME[name])
            log.pause()
            log.leaves(BY_NAME[name])
        log.left(BY_NAME[name])


def striped(log):
    n = 0
    while log.on:
        n += 1
        lock = STRIPES[n % 4]
        log.asks(lock)
        with lock:
            log.has(lock)
            log.pause()
            log.leaves(lock)
        log.left(lock)


def start(log):
    for _ in range(2):
        log.thread(by_name, log)
        log.thread(striped, log)

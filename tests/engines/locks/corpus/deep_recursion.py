"""A lock taken far below what runs: hundreds of frames, and C code in between."""

import threading

LOCK = threading.Lock()


def down(log, depth):
    if depth:
        return down(log, depth - 1)
    return sorted([1], key=lambda _: log.pause() or 0)


def work(log):
    while log.on:
        log.asks(LOCK)
        with LOCK:
            log.has(LOCK)
            down(log, 150)
            log.leaves(LOCK)
        log.left(LOCK)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

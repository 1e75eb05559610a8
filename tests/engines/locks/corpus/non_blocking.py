"""Tried without waiting; who fails does something else on the very next lines."""

import threading

LOCK = threading.Lock()


def work(log):
    while log.on:
        log.asks(LOCK, "tested")
        if not LOCK.acquire(False):
            log.failed(LOCK)
            log.rest()
            continue
        try:
            log.has(LOCK, "tested")
            log.pause()
            log.leaves(LOCK)
        finally:
            LOCK.release()
        log.left(LOCK)
        log.rest()


def start(log):
    for _ in range(3):
        log.thread(work, log)

"""Released in the middle of the block that took it, and taken again."""

import threading

LOCK = threading.Lock()


def work(log):
    while log.on:
        log.asks(LOCK)
        with LOCK:
            log.has(LOCK)
            log.pause()
            log.leaves(LOCK)
            LOCK.release()
            log.left(LOCK)
            log.pause()
            log.asks(LOCK, "again")
            LOCK.acquire()
            log.has(LOCK, "again")
            log.leaves(LOCK)
        log.left(LOCK)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

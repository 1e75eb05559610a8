"""acquire, try, finally: release."""

import threading

LOCK = threading.Lock()


def work(log):
    while log.on:
        log.asks(LOCK, "finally")
        LOCK.acquire()
        try:
            log.has(LOCK, "finally")
            log.pause()
            log.leaves(LOCK)
        finally:
            LOCK.release()
        log.left(LOCK)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

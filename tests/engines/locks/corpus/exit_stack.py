"""Several locks on one ExitStack."""

import contextlib
import threading

LOCKS = [threading.Lock() for _ in range(3)]


def work(log):
    while log.on:
        with contextlib.ExitStack() as stack:
            for lock in LOCKS:
                log.asks(lock, "ExitStack")
                stack.enter_context(lock)
                log.has(lock, "ExitStack")
            log.pause()
            for lock in LOCKS:
                log.leaves(lock)
        for lock in LOCKS:
            log.left(lock)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

"""A lock in a closure."""

import threading


def make(log):
    lock = threading.Lock()

    def work():
        while log.on:
            log.asks(lock)
            with lock:
                log.has(lock)
                log.pause()
                log.leaves(lock)
            log.left(lock)
            log.rest()

    return work


def start(log):
    for _ in range(2):
        worker = make(log)
        log.thread(worker)
        log.thread(worker)

"""Locks made, held and freed in a loop: the next one often gets the address of the last."""

import threading


def plain(log):
    while log.on:
        lock = threading.Lock()
        log.asks(lock)
        with lock:
            log.has(lock)
            log.pause()
            log.leaves(lock)
        log.left(lock)
        log.forget(lock)
        del lock


def reentrant(log):
    while log.on:
        lock = threading.RLock()
        log.asks(lock)
        with lock:
            log.has(lock)
            log.pause()
            log.leaves(lock)
        log.left(lock)
        log.forget(lock)
        del lock


def start(log):
    log.thread(plain, log)
    log.thread(reentrant, log)

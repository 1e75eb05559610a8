"""Acquired with a timeout that sometimes passes."""

import threading
import time

LOCK = threading.Lock()


def patient(log):
    while log.on:
        log.asks(LOCK, "tested")
        if LOCK.acquire(timeout=0.01):
            log.has(LOCK, "tested")
            log.pause()
            log.leaves(LOCK)
            LOCK.release()
            log.left(LOCK)
        else:
            log.failed(LOCK)
        log.rest()


def slow(log):
    while log.on:
        log.asks(LOCK)
        with LOCK:
            log.has(LOCK)
            time.sleep(0.03)
            log.leaves(LOCK)
        log.left(LOCK)
        log.rest()


def start(log):
    log.thread(patient, log)
    log.thread(patient, log)
    log.thread(slow, log)

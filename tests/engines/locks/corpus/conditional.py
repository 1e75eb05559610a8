"""Taken only if it must be; the same lines run without it."""

import contextlib
import random
import threading

LOCK = threading.Lock()


def work(log):
    while log.on:
        needed = random.random() < 0.5
        if needed:
            log.asks(LOCK)
        with LOCK if needed else contextlib.nullcontext():
            if needed:
                log.has(LOCK)
            log.pause()
            if needed:
                log.leaves(LOCK)
        if needed:
            log.left(LOCK)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

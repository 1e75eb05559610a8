"""A lock between processes, taken by threads."""

import multiprocessing

LOCK = multiprocessing.get_context("fork").Lock()


def work(log):
    while log.on:
        log.asks(LOCK)
        with LOCK:
            log.has(LOCK)
            log.pause()
            log.leaves(LOCK)
        log.left(LOCK)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

"""acquire and release without a try."""

import threading

gate = threading.Lock()


def work(log):
    while log.on:
        log.asks(gate, "bare")
        gate.acquire()
        log.has(gate, "bare")
        log.pause()
        log.leaves(gate)
        gate.release()
        log.left(gate)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

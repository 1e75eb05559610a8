"""One method takes the lock, another gives it back."""

import threading


class Transaction:
    def __init__(self):
        self._lock = threading.Lock()

    def begin(self, log):
        log.asks(self._lock, "elsewhere")
        self._lock.acquire()
        log.has(self._lock, "elsewhere")

    def commit(self, log):
        log.leaves(self._lock)
        self._lock.release()
        log.left(self._lock)


def work(log, transaction):
    while log.on:
        transaction.begin(log)
        log.pause()
        transaction.commit(log)
        log.rest()


def start(log):
    transaction = Transaction()
    for _ in range(2):
        log.thread(work, log, transaction)

"""A lock per instance: one expression, two objects."""

import threading


class Account:
    def __init__(self):
        self._lock = threading.Lock()

    def change(self, log):
        log.asks(self._lock)
        with self._lock:
            log.has(self._lock)
            log.pause()
            log.leaves(self._lock)
        log.left(self._lock)


def work(log, account):
    while log.on:
        account.change(log)
        log.rest()


def start(log):
    first, second = Account(), Account()
    for account in (first, first, second, second):
        log.thread(work, log, account)

"""The lock is reached through a property."""

import threading


class Store:
    def __init__(self):
        self.__locks = {"main": threading.Lock()}

    @property
    def lock(self):
        return self.__locks["main"]


STORE = Store()


def work(log):
    while log.on:
        log.asks(STORE.lock)
        with STORE.lock:
            log.has(STORE.lock)
            log.pause()
            log.leaves(STORE.lock)
        log.left(STORE.lock)
        log.rest()


def start(log):
    for _ in range(2):
        log.thread(work, log)

"""Locks that live in a WeakValueDictionary."""

import threading
import weakref


class Lock:
    def __init__(self):
        self.lock = threading.Lock()


TABLE = weakref.WeakValueDictionary()
KEEP = []


def get(name):
    found = TABLE.get(name)
    if found is None:
        found = TABLE[name] = Lock()
        KEEP.append(found)
    return found


def work(log):
    n = 0
    while log.on:
        n += 1
        each = get(n % 2)
        log.asks(each.lock)
        with each.lock:
            log.has(each.lock)
            log.pause()
            log.leaves(each.lock)
        log.left(each.lock)
        log.rest()


def start(log):
    get(0), get(1)
    for _ in range(2):
        log.thread(work, log)

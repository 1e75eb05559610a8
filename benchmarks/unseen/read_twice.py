"""Writers first: a reader that reads once more inside, while a writer has come, waits for the writer, who waits for it."""

import threading
import time
import _go

EXPECT = "stuck"


class RWLock:
    def __init__(self):
        self.lock = threading.Lock()
        self.ok = threading.Condition(self.lock)
        self.readers = 0
        self.waiting = 0

    def read(self):
        with self.lock:
            while self.waiting:
                self.ok.wait()
            self.readers += 1

    def done_read(self):
        with self.lock:
            self.readers -= 1
            if not self.readers:
                self.ok.notify_all()

    def write(self):
        with self.lock:
            self.waiting += 1
            while self.readers:
                self.ok.wait()
            self.waiting -= 1


rw = RWLock()
prices = {"a": 1}


def total():
    rw.read()
    try:
        time.sleep(0.5)
        return sum(price(k) for k in prices)
    finally:
        rw.done_read()


def price(k):
    rw.read()
    try:
        return prices[k]
    finally:
        rw.done_read()


def change():
    time.sleep(0.2)
    rw.write()
    prices["a"] = 2


threading.Thread(target=total, name="report", daemon=True).start()
threading.Thread(target=change, name="importer", daemon=True).start()
_go.ready(3)
threading.Event().wait()

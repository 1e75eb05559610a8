"""A hand-made lock of readers and writers that starves its writer."""

import signal
import threading
import time

EXPECT = "held up: resource or stuck: resource"
signal.alarm(600)


class RW:
    def __init__(self):
        self.cv = threading.Condition(threading.Lock())
        self.readers = 0

    def acquire_read(self):
        self.cv.acquire()
        self.readers += 1
        self.cv.release()

    def release_read(self):
        self.cv.acquire()
        self.readers -= 1
        if not self.readers:
            self.cv.notify_all()
        self.cv.release()

    def acquire_write(self):
        self.cv.acquire()
        while self.readers > 0:
            self.cv.wait()

    def release_write(self):
        self.cv.release()


rw = RW()
table = {}


def lookup(i):
    while True:
        rw.acquire_read()
        try:
            time.sleep(0.03 + i * 0.003)
        finally:
            rw.release_read()


def update():
    while True:
        rw.acquire_write()
        try:
            table["x"] = 1
        finally:
            rw.release_write()
        time.sleep(0.01)


for i in range(8):
    threading.Thread(target=lookup, args=(i,), name=f"lookup-{i}", daemon=True).start()
time.sleep(0.3)
threading.Thread(target=update, name="updater", daemon=True).start()
time.sleep(1)
print("ready", flush=True)
time.sleep(100)

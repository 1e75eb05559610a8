"""A hand-written RW lock: two readers want to become writers, each waits for the other reader to leave."""

import threading
import time
import _go

EXPECT = "stuck"


class RW:
    def __init__(self):
        self.cond = threading.Condition()
        self.readers = 0
        self.writing = False

    def acquire_read(self):
        with self.cond:
            while self.writing:
                self.cond.wait()
            self.readers += 1

    def release_read(self):
        with self.cond:
            self.readers -= 1
            self.cond.notify_all()

    def upgrade(self):
        with self.cond:
            while self.readers > 1 or self.writing:
                self.cond.wait()
            self.readers -= 1
            self.writing = True

    def release_write(self):
        with self.cond:
            self.writing = False
            self.cond.notify_all()


rw = RW()
table = {}


def ensure(key):
    rw.acquire_read()
    if key not in table:
        time.sleep(0.2)
        rw.upgrade()
        table[key] = 1
        rw.release_write()
    else:
        rw.release_read()


for n in range(2):
    threading.Thread(target=ensure, args=(n,), name=f"session-{n}", daemon=True).start()
_go.ready(3)
threading.Event().wait()

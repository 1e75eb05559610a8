"""A connection closed in its own callback: two threads join each other."""

import threading
import queue
import time
import _go

EXPECT = "stuck by deadlock"


class Worker:
    def __init__(self, conn):
        self.q = queue.Queue()
        self.conn = conn
        self.t = threading.Thread(target=self.run, name="delivery", daemon=True)
        self.t.start()

    def run(self):
        while True:
            cb = self.q.get()
            if cb is None:
                return
            cb()

    def stop(self):
        self.q.put(None)
        self.t.join()


class Connection:
    def __init__(self):
        self.inbox = queue.Queue()
        self.w = Worker(self)
        self.loop = threading.Thread(target=self.ioloop, name="ioloop", daemon=True)
        self.loop.start()

    def ioloop(self):
        while True:
            m = self.inbox.get()
            if m == "close":
                break
            self.w.q.put(lambda: self.on_message(m))
        self.w.stop()

    def on_message(self, m):
        if m == "last":
            self.close()

    def close(self):
        self.inbox.put("close")
        self.loop.join()


c = Connection()
c.inbox.put("first")
c.inbox.put("last")
_go.ready()
c.loop.join()

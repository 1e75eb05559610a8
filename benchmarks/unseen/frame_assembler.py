"""close() joins a reader that waits for the one who closes."""

import threading
import time
import _go

EXPECT = "says can go on"


class Assembler:
    def __init__(self):
        self.arrived = threading.Event()
        self.fetched = threading.Event()
        self.data = None

    def put(self, frame):
        self.data = frame
        self.arrived.set()
        self.fetched.wait()
        self.fetched.clear()

    def get(self):
        self.arrived.wait()
        self.arrived.clear()
        d = self.data
        self.fetched.set()
        return d


class Conn:
    def __init__(self):
        self.a = Assembler()
        self.reader = threading.Thread(target=self.pump, name="recv_events")
        self.reader.start()

    def pump(self):
        for n in range(100):
            self.a.put(b"frame%d" % n)
            if getattr(self, "closing", False):
                return

    def recv(self):
        return self.a.get()

    def close(self):
        self.closing = True
        self.reader.join()


c = Conn()
_go.ready()
c.recv()
time.sleep(0.3)
c.close()

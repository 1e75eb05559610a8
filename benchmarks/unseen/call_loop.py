"""A selectors loop of one's own; a callback asks a silent peer, six threads wait for calls that they gave to the loop."""

import collections
import selectors
import socket
import threading
import _go

EXPECT = "waits: signal"
silent = socket.create_server(("127.0.0.1", 0))


class Reactor(threading.Thread):
    def __init__(self):
        super().__init__(name="reactor", daemon=True)
        self.sel = selectors.DefaultSelector()
        self.calls = collections.deque()
        self.r, self.w = socket.socketpair()
        self.sel.register(self.r, selectors.EVENT_READ)

    def run(self):
        while True:
            for key, _ in self.sel.select():
                key.fileobj.recv(100)
                while self.calls:
                    self.calls.popleft()()

    def call(self, f):
        done = threading.Event()
        box = []

        def go():
            box.append(f())
            done.set()

        self.calls.append(go)
        self.w.send(b"x")
        done.wait()
        return box[0]


def lookup():
    s = socket.create_connection(silent.getsockname())
    s.sendall(b"GET user\n")
    return s.recv(100)


r = Reactor()
r.start()
for n in range(6):
    threading.Thread(target=r.call, args=(lookup,), name=f"web-{n}", daemon=True).start()
_go.ready(3)
threading.Event().wait()

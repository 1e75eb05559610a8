"""A loop over a selector does not take out a connection whose other end has closed it: it spins."""

import selectors
import socket
import threading
import time

import _go

EXPECT = "named busy-wait"

ours, theirs = socket.socketpair()
selector = selectors.DefaultSelector()
selector.register(ours, selectors.EVENT_READ)


def pump():
    while True:
        for key, _ in selector.select(timeout=1):
            data = key.fileobj.recv(100)
            if not data:
                continue
            print(data)


threading.Thread(target=pump, name="pump", daemon=True).start()
time.sleep(0.2)
theirs.close()
_go.ready()
threading.Event().wait()

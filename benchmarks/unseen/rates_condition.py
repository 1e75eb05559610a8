"""cachetools, cached(condition=...): six threads wait for the one that asks a slow server."""

import os
import signal
import socket
import threading
import time

import _go
import cachetools

NEEDS = ("cachetools",)
EXPECT = "held up or waits"
up = socket.create_server(("127.0.0.1", 0))
port = up.getsockname()[1]
if (kid := os.fork()) == 0:
    signal.alarm(600)

    def slow(c):
        c.recv(9)
        time.sleep(0.6)
        c.sendall(b"x")
        c.close()

    while True:
        threading.Thread(target=slow, args=(up.accept()[0],), daemon=True).start()
up.close()
signal.signal(signal.SIGTERM, lambda *_: (os.kill(kid, 9), os._exit(0)))


@cachetools.cached(cachetools.TTLCache(10, ttl=0.01), condition=threading.Condition())
def rates():
    with socket.create_connection(("127.0.0.1", port)) as c:
        c.sendall(b"?")
        return c.recv(9)


def web():
    while True:
        rates()
        time.sleep(0.005)


for n in range(7):
    threading.Thread(target=web, name=f"web-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()

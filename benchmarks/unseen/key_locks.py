"""A lock a key, in a dict: six threads at one key, whose holder is at a slow server."""

import collections
import os
import signal
import socket
import threading
import time

import _go

EXPECT = "held up"
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
locks = collections.defaultdict(threading.Lock)


def load(key):
    locks[key].acquire()
    try:
        with socket.create_connection(("127.0.0.1", port)) as c:
            c.sendall(b"?")
            return c.recv(9)
    finally:
        locks[key].release()


def web():
    while True:
        load("rates")
        time.sleep(0.005)


for n in range(6):
    threading.Thread(target=web, name=f"web-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()

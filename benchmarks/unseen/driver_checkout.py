"""A queue of two clients, twelve threads, a slow other side."""

import queue
import signal
import socket
import threading
import time

EXPECT = "named connection-starvation"
signal.alarm(600)


def slow_backend(srv):
    while True:
        c, _ = srv.accept()
        threading.Thread(target=serve, args=(c,), daemon=True).start()


def serve(c):
    while True:
        b = c.recv(64)
        if not b:
            return
        time.sleep(0.12)
        c.sendall(b)


import os
import sys

srv = socket.create_server(("127.0.0.1", 0))
port = srv.getsockname()[1]
pid = os.fork()
if pid == 0:
    slow_backend(srv)
    os._exit(0)
srv.close()
import atexit
import signal

signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))
atexit.register(os.kill, pid, 9)


class Driver:
    def __init__(self, size=2):
        self.clients = queue.LifoQueue()
        for _ in range(size):
            self.clients.put(socket.create_connection(("127.0.0.1", port)))

    def ask(self, what):
        c = self.clients.get()
        try:
            c.sendall(what)
            return c.recv(64)
        finally:
            self.clients.put(c)


d = Driver()


def handler():
    while True:
        d.ask(b"version")


for i in range(12):
    threading.Thread(target=handler, name=f"http-{i}", daemon=True).start()
print("ready", flush=True)
time.sleep(100)

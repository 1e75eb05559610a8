"""Head and body sent apart, then both ends read."""

import os
import signal
import socket
import struct
import threading
import time

EXPECT = "named write-write-read"
signal.alarm(600)
srv = socket.create_server(("127.0.0.1", 0))
port = srv.getsockname()[1]


def exact(s, n):
    b = b""
    while len(b) < n:
        x = s.recv(n - len(b))
        if not x:
            raise SystemExit
        b += x
    return b


pid = os.fork()
if pid == 0:
    c, _ = srv.accept()
    while True:
        (n,) = struct.unpack("!I", exact(c, 4))
        exact(c, n)
        c.sendall(b"ok")
srv.close()
signal.signal(signal.SIGTERM, lambda *a: (os.kill(pid, 9), os._exit(0)))


class Client:
    def __init__(self):
        self.s = socket.create_connection(("127.0.0.1", port))

    def call(self, body):
        self.s.sendall(struct.pack("!I", len(body)))
        self.s.sendall(body)
        return exact(self.s, 2)


def run():
    c = Client()
    while True:
        c.call(b"add 1 2")


threading.Thread(target=run, name="rpc", daemon=True).start()
time.sleep(1)
print("ready", flush=True)
time.sleep(100)

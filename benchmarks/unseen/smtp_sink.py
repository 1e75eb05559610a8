"""A server whose four workers wait for silent clients."""

import os
import queue
import signal
import socket
import sys
import threading
import time

EXPECT = "named all-workers-busy"
signal.alarm(600)
srv = socket.create_server(("127.0.0.1", 0), backlog=64)
port = srv.getsockname()[1]
pid = os.fork()
if pid == 0:
    keep = [socket.create_connection(("127.0.0.1", port)) for _ in range(12)]
    time.sleep(300)
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *a: (os.kill(pid, 9), os._exit(0)))

pending = queue.Queue()


def session():
    while True:
        conn = pending.get()
        f = conn.makefile("rb")
        conn.sendall(b"220 hello\r\n")
        for line in f:
            conn.sendall(b"250 ok\r\n")
        conn.close()


for i in range(4):
    threading.Thread(target=session, name=f"session-{i}", daemon=True).start()


def announce():
    time.sleep(1.5)
    print("ready", flush=True)


threading.Thread(target=announce, daemon=True).start()
while True:
    c, a = srv.accept()
    pending.put(c)

"""Healthy: workers that take turns at accept(), lightly loaded."""

import os
import signal
import socket
import threading
import time

EXPECT = "quiet"
signal.alarm(600)
srv = socket.create_server(("127.0.0.1", 0))
port = srv.getsockname()[1]
pid = os.fork()
if pid == 0:
    while True:
        c = socket.create_connection(("127.0.0.1", port))
        c.sendall(b"hi")
        c.recv(10)
        c.close()
        time.sleep(0.2)
signal.signal(signal.SIGTERM, lambda *a: (os.kill(pid, 9), os._exit(0)))
mutex = threading.Lock()


def worker():
    while True:
        with mutex:
            c, _ = srv.accept()
        c.sendall(c.recv(10))
        c.close()


for i in range(8):
    threading.Thread(target=worker, name=f"acceptor-{i}", daemon=True).start()
print("ready", flush=True)
while True:
    time.sleep(1)

"""A log handler that waits for a slow receiver with its lock held."""

import logging
import logging.handlers
import os
import signal
import socket
import threading
import time

EXPECT = "named slow-logging"
signal.alarm(600)
srv = socket.create_server(("127.0.0.1", 0))
srv.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
port = srv.getsockname()[1]
pid = os.fork()
if pid == 0:
    c, _ = srv.accept()
    while True:
        if not c.recv(4096):
            os._exit(0)
        time.sleep(0.1)
srv.close()
signal.signal(signal.SIGTERM, lambda *a: (os.kill(pid, 9), os._exit(0)))
h = logging.handlers.SocketHandler("127.0.0.1", port)
h.closeOnError = False
log = logging.getLogger("orders")
log.setLevel(logging.INFO)
log.addHandler(h)


def order(n):
    while True:
        log.info("order %d %s", n, "x" * 2000)
        time.sleep(0.001)


for i in range(7):
    threading.Thread(target=order, args=(i,), name=f"order-{i}", daemon=True).start()
time.sleep(4)
print("ready", flush=True)
time.sleep(100)

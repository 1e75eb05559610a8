"""An answer that never comes, and no time limit."""

import http.client
import os
import signal
import socket
import sys
import threading
import time

EXPECT = "named missing-timeout or says without a time limit"
signal.alarm(600)
srv = socket.create_server(("127.0.0.1", 0))
port = srv.getsockname()[1]
pid = os.fork()
if pid == 0:
    c, _ = srv.accept()
    time.sleep(300)
    os._exit(0)
srv.close()
signal.signal(signal.SIGTERM, lambda *a: (os.kill(pid, 9), os._exit(0)))


def check_licence():
    c = http.client.HTTPConnection("127.0.0.1", port)
    c.request("GET", "/licence")
    return c.getresponse().read()


def heartbeat():
    time.sleep(1)
    print("ready", flush=True)
    while True:
        time.sleep(1)


threading.Thread(target=heartbeat, daemon=True, name="heartbeat").start()
check_licence()

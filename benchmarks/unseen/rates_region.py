"""dogpile.cache: eight threads, one creator that asks a slow server with the region's mutex held."""

import socket
import threading
import time
import os
import signal
import _go
from dogpile.cache import make_region

NEEDS = ("dogpile",)
EXPECT = "named lock-held-across-io or held up: lock"
up = socket.create_server(("127.0.0.1", 0))
if (kid := os.fork()) == 0:

    def slow(c):
        c.recv(100)
        time.sleep(0.7)
        c.sendall(b"x")
        c.close()

    while True:
        threading.Thread(target=slow, args=(up.accept()[0],), daemon=True).start()
port = up.getsockname()[1]
up.close()
region = make_region().configure("dogpile.cache.memory", expiration_time=1)


@region.cache_on_arguments()
def rates(day):
    with socket.create_connection(("127.0.0.1", port)) as c:
        c.sendall(b"?")
        return c.recv(10)


n = 0


def web():
    while True:
        rates(int(time.monotonic()))
        time.sleep(0.01)


signal.signal(signal.SIGTERM, lambda *_: (os.kill(kid, 9), os._exit(0)))
for i in range(8):
    threading.Thread(target=web, name=f"web-{i}", daemon=True).start()
_go.ready()
threading.Event().wait()

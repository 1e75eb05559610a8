"""logging: doRollover compresses the old file while every request waits for the handler's lock."""

import gzip
import logging
import logging.handlers
import os
import tempfile
import threading
import time

import _go


EXPECT = "named slow-logging or named lock-contention or held up: lock"
h = logging.handlers.RotatingFileHandler(os.path.join(tempfile.mkdtemp(), "app.log"), maxBytes=2_000_000, backupCount=1)


def rotate(src, dst):
    with open(src, "rb") as a, gzip.open(dst + ".gz", "wb", 9) as b:
        b.write(a.read() + os.urandom(6_000_000))
    os.remove(src)


h.rotator = rotate
log = logging.getLogger("app")
log.addHandler(h)
log.setLevel(logging.INFO)
log.propagate = False


def web(n):
    while True:
        log.info("request %d %s", n, "x" * 20000)
        time.sleep(0.02)


for n in range(8):
    threading.Thread(target=web, args=(n,), name=f"web-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()

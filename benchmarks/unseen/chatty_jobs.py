"""print() from six threads into a pipe that is read slowly: they queue for the lock of the buffered writer."""

import os
import sys
import threading
import time
import signal

import _go


EXPECT = "held up or stuck or named slow-logging"
r, w = os.pipe()
if (kid := os.fork()) == 0:
    os.close(w)
    while os.read(r, 2000):
        time.sleep(0.05)
    os._exit(0)
os.close(r)
out = os.fdopen(w, "wb")
signal.signal(signal.SIGTERM, lambda *_: (os.kill(kid, 9), os._exit(0)))


def talk(n):
    while True:
        out.write(b"progress " * 500)


for n in range(6):
    threading.Thread(target=talk, args=(n,), name=f"job-{n}", daemon=True).start()
_go.ready()
threading.Event().wait()

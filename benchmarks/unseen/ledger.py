"""A file that another process has locked (fcntl)."""

import fcntl
import os
import signal
import sys
import tempfile
import threading
import time

EXPECT = "named file-lock-contention"
signal.alarm(600)
path = os.path.join(tempfile.mkdtemp(), "ledger.db")
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    f = open(path, "a+")
    fcntl.lockf(f, fcntl.LOCK_EX)
    os.write(w, b"x")
    time.sleep(200)
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *a: (os.kill(pid, 9), os._exit(0)))
os.read(r, 1)


class Ledger:
    def __init__(self):
        self.f = open(path, "a+")

    def append(self, line):
        fcntl.lockf(self.f, fcntl.LOCK_EX)
        try:
            self.f.write(line)
            self.f.flush()
        finally:
            fcntl.lockf(self.f, fcntl.LOCK_UN)


led = Ledger()
t = threading.Thread(target=led.append, args=("deposit 5\n",), name="writer", daemon=True)
t.start()
time.sleep(1)
print("ready", flush=True)
t.join()

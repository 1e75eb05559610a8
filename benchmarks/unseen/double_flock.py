"""A file locked twice by one thread."""

import fcntl
import tempfile
import threading
import _go

EXPECT = "stuck"
path = tempfile.mkdtemp() + "/index.lock"


class Index:
    def __init__(self):
        self.f = open(path, "w")
        fcntl.flock(self.f, fcntl.LOCK_EX)

    def done(self):
        self.f.close()


def merge():
    a = Index()
    b = Index()


threading.Thread(target=merge, name="merge", daemon=True).start()
_go.ready()
import time

time.sleep(1000)

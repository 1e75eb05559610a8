"""functools.cached_property: up to 3.11 one lock for all instances."""

import functools
import threading
import time
import _go

EXPECT = "held up: lock or quiet"


class Profile:
    def __init__(self, uid):
        self.uid = uid

    @functools.cached_property
    def avatar(self):
        time.sleep(0.05)
        return b"png"


def serve(n):
    while True:
        Profile(n).avatar


for i in range(8):
    threading.Thread(target=serve, args=(i,), name="page-%d" % i, daemon=True).start()
_go.ready()
time.sleep(1000)

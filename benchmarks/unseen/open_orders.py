"""Requests look every 50 ms whether the open orders are loaded; the loader has failed."""

import threading
import time

import _go

EXPECT = "poll"


class Cache:
    open_loaded = False

    def load(self):
        raise OSError("no database")


cache = Cache()
threading.excepthook = lambda args: None


def handle():
    def orders():
        while not cache.open_loaded:
            time.sleep(0.05)
        return 1

    orders()
    print("served")


_go.ready()
threading.Thread(target=cache.load).start()
for i in range(3):
    threading.Thread(target=handle, name=f"web-{i}").start()

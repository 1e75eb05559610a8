"""Eight threads render a page that has expired."""

import threading
import time
import _go

EXPECT = "named thundering-herd"
cache = {}


def render(name):
    s = 0
    for i in range(400_000):
        s += i % 7
    return "<%s %d>" % (name, s)


def get(name):
    ts, page = cache.get(name, (0, None))
    if time.monotonic() - ts > 0.6:
        page = render(name)
        cache[name] = (time.monotonic(), page)
    return page


def serve():
    while True:
        get("home")
        time.sleep(0.05)


for i in range(8):
    threading.Thread(target=serve, name="web-%d" % i, daemon=True).start()
_go.ready()
time.sleep(1000)

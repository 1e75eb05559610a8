"""Five locks taken in a circle, by acquire()."""

import threading
import time
import _go

EXPECT = "stuck"
rows = [threading.Lock() for _ in range(5)]


def transfer(i):
    a, b = rows[i], rows[(i + 1) % 5]
    a.acquire()
    time.sleep(0.2)
    b.acquire()


for i in range(5):
    threading.Thread(target=transfer, args=(i,), name="tx-%d" % i, daemon=True).start()
_go.ready()
time.sleep(1000)

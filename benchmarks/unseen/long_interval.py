"""sys.setswitchinterval(2), and a thread that computes."""

import sys
import threading
import time
import _go

EXPECT = "named native-gil-hold"
sys.setswitchinterval(2)


def cruncher():
    n = 0
    while True:
        n = (n * 31 + 7) % 1000003


def web(k):
    while True:
        time.sleep(0.02)
        sum(range(100))


for k in range(4):
    threading.Thread(target=web, args=(k,), name=f"web-{k}", daemon=True).start()
_go.ready(1)
time.sleep(1.5)
threading.Thread(target=cruncher, name="cruncher", daemon=True).start()
threading.Event().wait()

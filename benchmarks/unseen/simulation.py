"""A barrier for four of which one has died."""

import signal
import threading
import time

EXPECT = "still or stuck"
signal.alarm(600)
threading.excepthook = lambda a: None
N = 4
step = threading.Barrier(N)


def cell(rank):
    for t in range(1000000):
        if rank == 2 and t == 100:
            raise ZeroDivisionError
        time.sleep(0.001)
        step.wait()


ts = [threading.Thread(target=cell, args=(r,), name=f"cell-{r}") for r in range(N)]
for t in ts:
    t.start()
time.sleep(2)
print("ready", flush=True)
for t in ts:
    t.join()

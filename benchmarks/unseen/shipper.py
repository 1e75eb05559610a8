"""A producer that outruns its consumer."""

import json
import queue
import signal
import threading
import time

EXPECT = "named unbounded-queue"
signal.alarm(600)
backlog = queue.Queue()


def tail():
    n = 0
    while True:
        for _ in range(20):
            backlog.put(json.dumps({"n": n, "msg": "x" * 50}))
            n += 1
        time.sleep(0.01)


def ship():
    while True:
        item = backlog.get()
        time.sleep(0.005)


threading.Thread(target=tail, name="tail", daemon=True).start()
threading.Thread(target=ship, name="ship", daemon=True).start()
time.sleep(0.5)
print("ready", flush=True)
time.sleep(100)

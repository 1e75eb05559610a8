"""Permits of a semaphore that are lost with every failure."""

import queue
import random
import signal
import threading
import time

EXPECT = "named pool-leak"
signal.alarm(600)
slots = threading.BoundedSemaphore(3)
jobs = queue.Queue()


def render(path):
    slots.acquire()
    if path.endswith(".tiff"):
        raise ValueError("no decoder for " + path)
    time.sleep(0.02)
    slots.release()


class Worker(threading.Thread):
    def run(self):
        while True:
            path = jobs.get()
            try:
                render(path)
            except ValueError:
                pass
            jobs.task_done()


for n in range(60):
    jobs.put("img%d.%s" % (n, "tiff" if n % 9 == 4 else "jpg"))
ws = [Worker(name="thumb-%d" % n, daemon=True) for n in range(5)]
for w in ws:
    w.start()
time.sleep(2)
print("ready", flush=True)
jobs.join()

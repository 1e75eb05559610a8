"""Workers that put new work into their own queue, mostly idle: healthy."""

import queue
import threading
import time

EXPECT = "quiet"
jobs: "queue.Queue[int]" = queue.Queue()


def worker() -> None:
    while True:
        left = jobs.get()
        time.sleep(0.01)
        if left:
            jobs.put(left - 1)


for number in range(6):
    threading.Thread(target=worker, daemon=True, name=f"w-{number}").start()
print("ready", flush=True)
while True:
    jobs.put(3)
    time.sleep(0.3)

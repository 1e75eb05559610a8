"""Futures made by hand, put into a queue; one worker makes their results, four threads wait for them."""

import concurrent.futures
import queue
import threading
import time

EXPECT = "any: result"
jobs: "queue.Queue[concurrent.futures.Future[int]]" = queue.Queue()


def worker() -> None:
    while True:
        future = jobs.get()
        time.sleep(0.05)
        future.set_result(1)


def client() -> None:
    while True:
        future: concurrent.futures.Future[int] = concurrent.futures.Future()
        jobs.put(future)
        future.result()


threading.Thread(target=worker, daemon=True, name="worker-0").start()
for number in range(4):
    threading.Thread(target=client, daemon=True, name=f"client-{number}").start()
print("ready", flush=True)
time.sleep(600)

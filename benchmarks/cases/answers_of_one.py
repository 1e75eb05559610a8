"""Requests carry a queue for the answer, as a future made by hand does; six clients wait for one worker's answers."""

import queue
import threading
import time

EXPECT = "waits: result"
requests: "queue.Queue[tuple[int, queue.Queue[int]]]" = queue.Queue()


class Promise:
    def __init__(self) -> None:
        self._box: queue.Queue[int] = queue.Queue(1)

    def keep(self, value: int) -> None:
        self._box.put(value)

    def value(self) -> int:
        return self._box.get()


def worker() -> None:
    while True:
        number, promise = requests.get()
        time.sleep(0.2)
        promise.keep(number)


def client(number: int) -> None:
    while True:
        promise = Promise()
        requests.put((number, promise))
        promise.value()


threading.Thread(target=worker, daemon=True, name="worker").start()
for number in range(6):
    threading.Thread(target=client, args=(number,), daemon=True, name=f"client-{number}").start()
print("ready", flush=True)
time.sleep(600)

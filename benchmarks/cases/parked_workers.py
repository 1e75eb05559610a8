"""Idle workers that park at a lock each, which whoever has work for them releases: healthy."""

import _thread
import threading
import time
from collections.abc import Callable

EXPECT = "quiet"


class Parked(threading.Thread):
    def __init__(self, number: int) -> None:
        super().__init__(daemon=True, name=f"parked-{number}")
        self.bell = _thread.allocate_lock()
        self.bell.acquire()
        self.work: Callable[[], None] = lambda: None

    def run(self) -> None:
        while True:
            self.bell.acquire()
            self.work()


def small() -> None:
    time.sleep(0.01)


workers = [Parked(number) for number in range(5)]
for worker in workers:
    worker.start()
print("ready", flush=True)
while True:
    for worker in workers:
        worker.work = small
        worker.bell.release()
    time.sleep(0.25)

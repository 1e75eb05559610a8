"""Eight threads share counters, a bounded semaphore and a cache; every lock is held for microseconds."""

from __future__ import annotations

import random
import threading
import time

from _program import perform, start


class Service:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: dict[int, float] = {}
        self._slots = threading.BoundedSemaphore(6)
        self.requests = 0

    def handle(self, key: int) -> float:
        with self._lock:
            self.requests += 1
            known = self._cache.get(key)
        if known is None:
            with self._slots:
                time.sleep(0.005)  # ask somebody
            known = random.random()
            with self._lock:
                self._cache[key] = known
        return known


def program() -> None:
    service = Service()

    def worker() -> None:
        while True:
            service.handle(random.randrange(100_000))
            time.sleep(random.uniform(0.005, 0.015))

    for number in range(8):
        start(f"worker-{number}", worker)


if __name__ == "__main__":
    perform(program)

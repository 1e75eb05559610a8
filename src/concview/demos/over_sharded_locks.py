"""Statistics in 256 parts with a lock each, where one would do.

Twelve workers answer requests, 30 ms each, and note the latency of each in a histogram, which takes 0.2 ms.

bad:   the histograms lie in 256 shards, each behind a lock of its own, so that the workers do not meet.
fixed: one lock. The workers hardly meet at it either: it is held 8 % of the time.

Look at: the view Locks: dozens of locks of one line, each held for an instant, and nobody who waits.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Callable

from _stage import perform, rounds_for, start  # type: ignore[import-not-found]

ID = "over-sharded-locks"
GROUP = "Locks"
NEEDS_SECONDS = 30

SHARDS = 256


def note(counts: list[int], rounds: int) -> None:
    for bucket in range(rounds):
        counts[bucket & 31] += 1


class ShardedStatistics:
    def __init__(self) -> None:
        self._locks = [threading.Lock() for _ in range(SHARDS)]
        self._counts = [[0] * 32 for _ in range(SHARDS)]

    def add(self, user: int, rounds: int) -> None:
        with self._locks[user % SHARDS]:
            note(self._counts[user % SHARDS], rounds)


class Statistics:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * 32

    def add(self, user: int, rounds: int) -> None:
        with self._lock:
            note(self._counts, rounds)


def serve(add: Callable[[int, int], None], rounds: int) -> None:
    while True:
        time.sleep(random.uniform(0.02, 0.04))
        add(random.randrange(100_000), rounds)


def run(add: Callable[[int, int], None]) -> None:
    rounds = rounds_for(0.0002, lambda rounds: note([0] * 32, rounds))
    for number in range(12):
        start(f"web-{number}", serve, add, rounds)


def bad() -> None:
    run(ShardedStatistics().add)


def fixed() -> None:
    run(Statistics().add)


if __name__ == "__main__":
    perform(bad, fixed)

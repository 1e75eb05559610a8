"""A pool with far too many threads.

Four jobs a second, 100 ms each.

bad:   sixty-four workers, each with a stack and perhaps a connection of its own; sixty-three of them only wait.
fixed: two.

Look at: how many workers are ever busy at the same time.
"""

from __future__ import annotations

import queue
import time
from typing import Callable

from _stage import perform, start  # type: ignore[import-not-found]

ID = "pool-oversized"
GROUP = "Work distribution"
NEEDS_SECONDS = 30

jobs: queue.Queue[int] = queue.Queue(100)


def work() -> None:
    while True:
        jobs.get()
        time.sleep(0.1)


def run(workers: int) -> Callable[[], None]:
    for number in range(workers):
        start(f"worker-{number}", work)

    def arrive() -> None:
        while True:
            jobs.put(1)
            time.sleep(0.25)

    return arrive


def bad() -> Callable[[], None]:
    return run(workers=64)


def fixed() -> Callable[[], None]:
    return run(workers=2)


if __name__ == "__main__":
    perform(bad, fixed)

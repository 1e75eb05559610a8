"""A pool with too few threads.

Sixty requests a second, each waiting 50 ms for a partner that could answer many more.

bad:   two threads answer forty a second. Twenty more wait every second, each longer than the one before.
fixed: Little's law: 60/s x 0.05 s = 3 threads busy on average; six leave room.

Look at: workers that are always busy though the CPU is idle, and the backlog.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "pool-undersized"
GROUP = "Work distribution"


def request() -> None:
    time.sleep(0.05)


def serve(threads: int) -> Callable[[], None]:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")

    def forever() -> None:
        while True:
            pool.submit(request)
            time.sleep(1 / 60)

    return forever


def bad() -> Callable[[], None]:
    return serve(threads=2)


def fixed() -> Callable[[], None]:
    return serve(threads=6)


if __name__ == "__main__":
    perform(bad, fixed)

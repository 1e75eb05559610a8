"""A pool for every request.

Thirty pages a second, each put together from four answers that are asked for at the same time.

bad:   every page makes a pool, uses it once, waits for its end and throws it away.
fixed: all pages share one pool.

Look at: thread names, whose pool number counts up, and the line that makes the pools.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "pool-per-call"
GROUP = "Work distribution"
NEEDS_SECONDS = 8

PARTS = range(4)


def ask(part: int) -> None:
    time.sleep(0.005)


def page_bad() -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, PARTS))


def serve(page: Callable[[], None]) -> Callable[[], None]:
    def forever() -> None:
        while True:
            page()
            time.sleep(0.025)

    return forever


def bad() -> Callable[[], None]:
    return serve(page_bad)


def fixed() -> Callable[[], None]:
    pool = ThreadPoolExecutor(4)

    def page_fixed() -> None:
        list(pool.map(ask, PARTS))

    return serve(page_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

"""Tasks that are smaller than their wrapping.

Five thousand prices a second get their tax, in a pool of four threads.

bad:   one task a price. Handing a task over and taking its result costs a hundred times what the tax does.
fixed: one task for a hundred and twenty-five prices.

Look at: how much of the time the workers spend in the pool's own code.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "tiny-tasks"
GROUP = "Work distribution"
NEEDS_SECONDS = 10

PRICES = list(range(250))


def tax(price: int) -> int:
    return price * 19 // 100


def taxes(prices: list[int]) -> list[int]:
    return [tax(price) for price in prices]


def all_bad(pool: ThreadPoolExecutor) -> None:
    list(pool.map(tax, PRICES))


def all_fixed(pool: ThreadPoolExecutor) -> None:
    list(pool.map(taxes, [PRICES[at : at + 125] for at in range(0, len(PRICES), 125)]))


def run(work: Callable[[ThreadPoolExecutor], None]) -> Callable[[], None]:
    pool = ThreadPoolExecutor(4, thread_name_prefix="tax")

    def forever() -> None:
        while True:
            due = time.monotonic() + 0.05
            work(pool)
            time.sleep(max(0.0, due - time.monotonic()))

    return forever


def bad() -> Callable[[], None]:
    return run(all_bad)


def fixed() -> Callable[[], None]:
    return run(all_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

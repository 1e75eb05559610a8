"""Tasks that wait for tasks of their own pool.

Orders are processed by a pool of four threads; each order has two parts that are processed by a pool, too.

bad:   by the same pool. Once four orders are being processed no thread is left for their parts, and all four wait
       for ever.
fixed: the parts have a pool of their own.

Look at: every worker in `result()`, and a queue that nobody takes from.
"""

from __future__ import annotations

import time
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "nested-executor-deadlock"
GROUP = "Locks"


def part() -> None:
    time.sleep(0.02)


def order(pool: Executor) -> None:
    time.sleep(0.02)
    parts = [pool.submit(part) for _ in range(2)]
    for future in parts:
        future.result()  # in bad, this needs a thread that is in this very line


def run(orders: Executor, parts: Executor) -> Callable[[], None]:
    def forever() -> None:
        while True:
            for future in [orders.submit(order, parts) for _ in range(8)]:
                future.result()
            time.sleep(0.1)

    return forever


def bad() -> Callable[[], None]:
    pool = ThreadPoolExecutor(4, thread_name_prefix="worker")
    return run(pool, pool)


def fixed() -> Callable[[], None]:
    orders = ThreadPoolExecutor(4, thread_name_prefix="orders")
    return run(orders, ThreadPoolExecutor(4, thread_name_prefix="parts"))


if __name__ == "__main__":
    perform(bad, fixed)

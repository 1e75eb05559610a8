"""Everybody waits for the last one.

Four workers copy files; the next round starts when all are done.

bad:   each worker gets a quarter of the files. One quarter has the big ones: three workers are done early and wait.
fixed: the workers take the files one by one, the big ones first, until none is left.

Look at: how busy each worker is between two joins.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "straggler"
GROUP = "Work distribution"

WORKERS = 4
FILES = [0.002] * 48 + [0.03] * 16  # seconds each


def copy(seconds: float) -> None:
    time.sleep(seconds)


def copy_all(files: list[float]) -> None:
    for seconds in files:
        copy(seconds)


def round_bad(pool: ThreadPoolExecutor) -> None:
    quarter = len(FILES) // WORKERS
    list(pool.map(copy_all, [FILES[at : at + quarter] for at in range(0, len(FILES), quarter)]))


def round_fixed(pool: ThreadPoolExecutor) -> None:
    list(pool.map(copy, sorted(FILES, reverse=True)))


def run(one_round: Callable[[ThreadPoolExecutor], None]) -> Callable[[], None]:
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="copy")

    def forever() -> None:
        while True:
            one_round(pool)

    return forever


def bad() -> Callable[[], None]:
    return run(round_bad)


def fixed() -> Callable[[], None]:
    return run(round_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

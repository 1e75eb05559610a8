"""Number crunching in two worker processes; the parent hands out work and waits."""

from __future__ import annotations

import time
from multiprocessing import get_context

from _program import die_with_parent, perform


def crunch(number: int) -> int:
    return sum(i * i % 7 for i in range(200_000))


def program() -> object:
    pool = get_context("fork").Pool(2, initializer=die_with_parent)

    def forever() -> None:
        while True:
            pool.map(crunch, range(8))
            time.sleep(0.2)

    return forever


if __name__ == "__main__":
    perform(program)

"""Threads of a build without a GIL queue for one dict: each takes a copy of it.

A price service: three threads answer requests. Each works a little, notes a price and takes a copy of all prices, so
that they do not change while the answer is made. Whoever copies the dict has its own lock until he is done.

bad:   every request copies the dict: the others wait, to write one price as much as to copy.
fixed: one thread makes a copy twice a second and hands it to all; nobody writes into a copy.

Look at: threads that wait for a dict, though the program has no lock. Needs a free-threaded build (python3.14t).
"""

from __future__ import annotations

import time
from typing import Callable, Dict

from _stage import perform, rounds_for, start  # type: ignore[import-not-found]

ID = "critical-section-contention"
GROUP = "Locks"
FREE_THREADED = True

PRICES: Dict[int, float] = {number: float(number) for number in range(100000)}
latest = dict(PRICES)


def work(rounds: int) -> int:
    total = 0
    for n in range(rounds):
        total += n * n
    return total


def answer(worker: int, rounds: int, all_prices: Callable[[], Dict[int, float]]) -> None:
    number = worker
    while True:
        work(rounds)
        number = (number + 3) % len(PRICES)
        PRICES[number] += 0.01
        prices = all_prices()
        assert prices[number] >= number
        time.sleep(0.004)


def publish() -> None:
    global latest
    while True:
        latest = PRICES.copy()
        time.sleep(0.5)


def serve(all_prices: Callable[[], Dict[int, float]]) -> None:
    rounds = rounds_for(0.0005, work)
    for worker in range(3):
        start("answer-%d" % worker, answer, worker, rounds, all_prices)


def bad() -> None:
    serve(lambda: PRICES.copy())


def fixed() -> None:
    start("publish", publish)
    serve(lambda: latest)


if __name__ == "__main__":
    perform(bad, fixed, free_threaded=True)

"""Synchronising for every single item.

A reader passes a hundred thousand numbers a second to an adder.

bad:   one number at a time through the queue: each costs two locks and a wake-up, and the addition nearly nothing.
fixed: lists of a thousand.

Look at: how much of both threads' time goes into `put` and `get`.
"""

from __future__ import annotations

import queue
import time
from typing import Any

from _stage import perform, start  # type: ignore[import-not-found]

ID = "unbatched-sync"
GROUP = "Work distribution"
NEEDS_SECONDS = 10

NUMBERS = list(range(10_000))
numbers: queue.Queue[Any] = queue.Queue(10_000)


def read_bad() -> None:
    while True:
        due = time.monotonic() + 0.1
        for number in NUMBERS:
            numbers.put(number)
        time.sleep(max(0.0, due - time.monotonic()))


def add_bad() -> None:
    total = 0
    while True:
        total += numbers.get()


def read_fixed() -> None:
    while True:
        due = time.monotonic() + 0.1
        for at in range(0, len(NUMBERS), 1000):
            numbers.put(NUMBERS[at : at + 1000])
        time.sleep(max(0.0, due - time.monotonic()))


def add_fixed() -> None:
    total = 0
    while True:
        total += sum(numbers.get())


def bad() -> None:
    start("adder", add_bad)
    start("reader", read_bad)


def fixed() -> None:
    start("adder", add_fixed)
    start("reader", read_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

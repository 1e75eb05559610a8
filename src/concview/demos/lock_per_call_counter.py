"""A lock is taken for every single record, only to count it.

A worker reads records and counts them; now and then somebody asks how many there were.

bad:   the counter takes its lock for every record.
fixed: the worker counts in a local variable and adds it up once for every thousand records.

Look at: the view Inside: let the agent in, count calls, and see how often Counter.add is called and how little it does.
From outside it looks like a worker that works.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "lock-per-call-counter"
GROUP = "Locks"
NEEDS_SECONDS = 15

BATCH = 1000


class Counter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.total = 0

    def add(self, number: int) -> None:
        with self._lock:
            self.total += number


def work(counter: Counter, each: bool) -> None:
    records = list(range(BATCH))
    while True:
        if each:
            read_bad(records, counter)
        else:
            read_fixed(records, counter)


def read_bad(records: list[int], counter: Counter) -> int:
    size = 0
    for record in records:
        size ^= record
        counter.add(1)
    return size


def read_fixed(records: list[int], counter: Counter) -> int:
    size = seen = 0
    for record in records:
        size ^= record
        seen += 1
    counter.add(seen)
    return size


# In the main thread: before Python 3.12 the agent can only come in where that one runs.


def bad() -> Callable[[], None]:
    return partial(work, Counter(), True)


def fixed() -> Callable[[], None]:
    return partial(work, Counter(), False)


if __name__ == "__main__":
    perform(bad, fixed)

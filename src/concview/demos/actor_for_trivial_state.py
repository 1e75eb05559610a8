"""A thread owns a counter, and everybody asks it by message.

Requests count who called; every count is a message to the thread that owns the table, and an answer back.

bad:   the table's thread takes requests from a queue and answers through another one. The caller waits for it.
fixed: the table has a lock.

Look at: the view Inside: let the agent in, count calls, and compare how long Table.count takes with how little is done.
"""

from __future__ import annotations

import queue
import threading
import time
from functools import partial
from typing import Any, Callable

from _stage import perform, start  # type: ignore[import-not-found]

ID = "actor-for-trivial-state"
GROUP = "Work distribution"
NEEDS_SECONDS = 15

NAMES = ("ann", "bob", "cem", "dee")
PAUSE = 0.005


class AskedTable:
    """Owned by a thread."""

    def __init__(self) -> None:
        self._requests: queue.Queue[Any] = queue.Queue()
        start("table", self._serve)

    def _serve(self) -> None:
        counts = dict.fromkeys(NAMES, 0)
        while True:
            name, answer = self._requests.get()
            counts[name] += 1
            answer.put(counts[name])

    def count(self, name: str, answer: queue.Queue[int]) -> int:
        self._requests.put((name, answer))
        return answer.get()


class LockedTable:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(NAMES, 0)

    def count(self, name: str, answer: queue.Queue[int]) -> int:
        with self._lock:
            self._counts[name] += 1
            return self._counts[name]


def handle(count: Callable[[str, queue.Queue[int]], int]) -> None:
    answer: queue.Queue[int] = queue.Queue()
    while True:
        for _ in range(20):
            for name in NAMES:
                count(name, answer)
        time.sleep(PAUSE)  # waits for the next request


# One of the handlers is the main thread: before Python 3.12 the agent can only come in where that one runs.


def bad() -> Callable[[], None]:
    table = AskedTable()
    start("handler", handle, table.count)
    return partial(handle, table.count)


def fixed() -> Callable[[], None]:
    table = LockedTable()
    start("handler", handle, table.count)
    return partial(handle, table.count)


if __name__ == "__main__":
    perform(bad, fixed)

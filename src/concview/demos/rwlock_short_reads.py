"""A table is read under a reader-writer lock, and every read takes a microsecond.

A service looks settings up, hundreds of thousands of times a second; once a second a setting changes.

bad:   every look-up takes a reader-writer lock for reading.
fixed: the table is never changed: a change makes a new one and puts it in place. Reading needs no lock.

Look at: the view Inside: let the agent in, count calls, and compare what Settings.get does with what it takes to lock.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Callable

from _stage import perform, start  # type: ignore[import-not-found]

ID = "rwlock-short-reads"
GROUP = "Locks"
NEEDS_SECONDS = 15


class ReadWriteLock:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._none_reads = threading.Condition(self._lock)
        self._readers = 0

    def acquire_read(self) -> None:
        with self._lock:
            self._readers += 1

    def release_read(self) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._none_reads.notify_all()

    def acquire_write(self) -> None:
        self._lock.acquire()
        while self._readers:
            self._none_reads.wait()

    def release_write(self) -> None:
        self._lock.release()


class Settings:
    def __init__(self) -> None:
        self._lock = ReadWriteLock()
        self._table = {f"setting-{n}": n for n in range(100)}

    def get_bad(self, key: str) -> int:
        self._lock.acquire_read()
        try:
            return self._table[key]
        finally:
            self._lock.release_read()

    def change_bad(self, key: str) -> None:
        self._lock.acquire_write()
        try:
            self._table[key] += 1
        finally:
            self._lock.release_write()

    def get_fixed(self, key: str) -> int:
        return self._table[key]

    def change_fixed(self, key: str) -> None:
        self._table = {**self._table, key: self._table[key] + 1}


def serve(get: Callable[[str], int]) -> None:
    keys = [f"setting-{n}" for n in range(100)]
    while True:
        for key in keys:
            get(key)


def change(one: Callable[[str], None]) -> None:
    while True:
        time.sleep(1)
        one("setting-7")


# It reads in the main thread: before Python 3.12 the agent can only come in where that one runs.


def bad() -> Callable[[], None]:
    settings = Settings()
    start("changes", change, settings.change_bad)
    return partial(serve, settings.get_bad)


def fixed() -> Callable[[], None]:
    settings = Settings()
    start("changes", change, settings.change_fixed)
    return partial(serve, settings.get_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

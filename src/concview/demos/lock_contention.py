"""A lock that everybody needs for too long.

Eight collectors receive measurements and keep one archive, which readers want to fetch compressed.

bad:   each collector compresses the whole archive again, inside the lock. Eight threads do the work of one.
fixed: collectors only append; one thread takes a snapshot now and then and compresses it outside the lock.

Look at: how many threads wait for `self._lock`, and how much of the time it is held.
"""

from __future__ import annotations

import threading
import time
import zlib

from _stage import perform, start  # type: ignore[import-not-found]

ID = "lock-contention"
GROUP = "Locks"

COLLECTORS = 8
ROWS = [b"2024-05-17T12:00:%02d.%06d sensor-%03d 21.%04d" % (i % 60, i * 7919, i % 97, i) for i in range(12000)]


class Archive:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows = list(ROWS)
        self.compressed = b""

    def add_bad(self, row: bytes) -> None:
        with self._lock:
            self._rows = [*self._rows[1:], row]
            self.compressed = zlib.compress(b"\n".join(self._rows))  # milliseconds, with seven others waiting

    def add_fixed(self, row: bytes) -> None:
        with self._lock:
            self._rows = [*self._rows[1:], row]

    def publish(self) -> None:
        while True:
            with self._lock:
                snapshot = self._rows
            self.compressed = zlib.compress(b"\n".join(snapshot))  # outside the lock
            time.sleep(0.5)


def bad() -> None:
    archive = Archive()

    def collect(number: int) -> None:
        while True:
            time.sleep(0.01)  # wait for the next measurement
            archive.add_bad(ROWS[number])

    for number in range(COLLECTORS):
        start(f"collector-{number}", collect, number)


def fixed() -> None:
    archive = Archive()

    def collect(number: int) -> None:
        while True:
            time.sleep(0.01)  # wait for the next measurement
            archive.add_fixed(ROWS[number])

    for number in range(COLLECTORS):
        start(f"collector-{number}", collect, number)
    start("publisher", archive.publish)


if __name__ == "__main__":
    perform(bad, fixed)

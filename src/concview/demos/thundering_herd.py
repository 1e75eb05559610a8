"""A cache entry expires, and everybody runs.

Sixteen workers read one value from a cache; it is valid for a second and takes the database 200 ms.

bad:   when it has expired all sixteen ask the database at once, for the same value.
fixed: one asks, the others go on with the old value.

Look at: sixteen threads that enter the same `recv` within a moment, every second.
"""

from __future__ import annotations

import socket
import threading
import time

from _stage import database, perform, start  # type: ignore[import-not-found]

ID = "thundering-herd"
GROUP = "Work distribution"

WORKERS = 16


class Value:
    def __init__(self) -> None:
        self._refresh = threading.Lock()
        self._expires = 0.0

    def get_bad(self, db: socket.socket) -> None:
        if time.monotonic() > self._expires:
            self._ask(db)

    def get_fixed(self, db: socket.socket) -> None:
        if time.monotonic() > self._expires and self._refresh.acquire(blocking=False):
            try:
                self._ask(db)
            finally:
                self._refresh.release()

    def _ask(self, db: socket.socket) -> None:
        db.sendall(b"value\n")
        db.recv(100)
        self._expires = time.monotonic() + 1


def run(variant: str) -> None:
    address, value = database(latency=0.2), Value()
    get = value.get_bad if variant == "bad" else value.get_fixed

    def worker() -> None:
        with socket.create_connection(address, timeout=10) as db:
            while True:
                get(db)
                time.sleep(0.02)

    for number in range(WORKERS):
        start(f"web-{number}", worker)


def bad() -> None:
    run("bad")


def fixed() -> None:
    run("fixed")


if __name__ == "__main__":
    perform(bad, fixed)

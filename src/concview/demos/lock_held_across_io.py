"""A lock held across I/O.

Eight web workers share one cache. On a miss the cache asks the database, which takes 20 ms.

bad:   the cache keeps its lock while it waits for the answer, so seven workers queue behind one socket.
fixed: the lock guards the dictionary only; every worker waits for its own answer, all at the same time.

Look at: who holds `self._lock`, and what that thread itself is waiting for.
"""

from __future__ import annotations

import random
import socket
import threading
import time

from _stage import database, perform, start  # type: ignore[import-not-found]

ID = "lock-held-across-io"
GROUP = "Locks"

WORKERS = 8


class Cache:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[int, bytes] = {}

    def _store(self, key: int, row: bytes) -> None:
        if len(self._rows) > 10000:
            self._rows.clear()
        self._rows[key] = row

    def get_bad(self, key: int, db: socket.socket) -> bytes:
        with self._lock:
            if key not in self._rows:
                db.sendall(b"%d\n" % key)
                self._store(key, db.recv(100))  # 20 ms, and everybody else waits for the lock
            return self._rows[key]

    def get_fixed(self, key: int, db: socket.socket) -> bytes:
        with self._lock:
            row = self._rows.get(key)
        if row is None:
            db.sendall(b"%d\n" % key)
            row = db.recv(100)  # 20 ms, and nobody waits
            with self._lock:
                self._store(key, row)
        return row


def serve(variant: str) -> None:
    address, cache = database(latency=0.02), Cache()
    get = cache.get_bad if variant == "bad" else cache.get_fixed

    def worker() -> None:
        db = socket.create_connection(address, timeout=10)
        while True:
            get(random.randrange(10**9), db)
            time.sleep(0.005)  # send the page to the browser

    for number in range(WORKERS):
        start(f"web-{number}", worker)


def bad() -> None:
    serve("bad")


def fixed() -> None:
    serve("fixed")


if __name__ == "__main__":
    perform(bad, fixed)

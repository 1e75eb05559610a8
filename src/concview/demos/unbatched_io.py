"""One round trip for every row.

Two importers write rows into a database.

bad:   a statement a row, and a wait for its answer. The time goes into the way there and back.
fixed: two thousand rows in one statement.

Look at: hundreds of send/recv pairs a second from one line of the program.
"""

from __future__ import annotations

import socket
import time

from _stage import database, perform, start  # type: ignore[import-not-found]

ID = "unbatched-io"
GROUP = "Async and I/O"
NEEDS_SECONDS = 10  # on a busy machine; 5 otherwise

ROWS = [b"row %d" % number for number in range(2000)]


def insert_bad(db: socket.socket) -> None:
    for row in ROWS:
        db.sendall(row + b"\n")
        db.recv(100)


def insert_fixed(db: socket.socket) -> None:
    db.sendall(b", ".join(ROWS) + b"\n")
    while not db.recv(65536).endswith(b"\n"):
        pass


def run(variant: str) -> None:
    address = database(latency=0.0)
    insert = insert_bad if variant == "bad" else insert_fixed

    def importer() -> None:
        with socket.create_connection(address, timeout=10) as db:
            while True:
                insert(db)
                time.sleep(0.05)

    for number in range(2):
        start(f"importer-{number}", importer)


def bad() -> None:
    run("bad")


def fixed() -> None:
    run("fixed")


if __name__ == "__main__":
    perform(bad, fixed)

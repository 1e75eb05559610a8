"""Connections that are kept longer than they are needed.

Eight workers share two database connections. A query takes 5 ms, making a page of it 100 ms.

bad:   a worker keeps its connection until the page is ready; six workers wait for one.
fixed: it gives the connection back as soon as it has the rows.

Look at: what the threads wait for in `connections.get`, and what those with a connection do with it.
"""

from __future__ import annotations

import queue
import socket
import time

from _stage import database, perform, start  # type: ignore[import-not-found]

ID = "connection-starvation"
GROUP = "Work distribution"

connections: queue.Queue[socket.socket] = queue.Queue()


def query(db: socket.socket) -> bytes:
    db.sendall(b"select\n")
    return db.recv(100)


def make_page(rows: bytes) -> None:
    time.sleep(0.1)


def serve_bad() -> None:
    while True:
        db = connections.get()
        make_page(query(db))
        connections.put(db)


def serve_fixed() -> None:
    while True:
        db = connections.get()
        rows = query(db)
        connections.put(db)
        make_page(rows)


def connect() -> None:
    address = database(latency=0.005)
    for _ in range(2):
        connections.put(socket.create_connection(address, timeout=10))


def bad() -> None:
    connect()
    for number in range(8):
        start(f"web-{number}", serve_bad)


def fixed() -> None:
    connect()
    for number in range(8):
        start(f"web-{number}", serve_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

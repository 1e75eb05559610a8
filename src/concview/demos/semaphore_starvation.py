"""A semaphore that is kept for longer than what it limits.

Eight workers share a semaphore of two, which limits the requests to a database. A request takes 5 ms, making a page of
the answer 100 ms.

bad:   a worker keeps its permit until the page is ready; six workers wait for one.
fixed: it keeps the permit for the request alone.

Look at: what the threads wait for in `permits`, and what those with a permit do.
"""

from __future__ import annotations

import socket
import threading
import time

from _stage import database, perform, start  # type: ignore[import-not-found]

ID = "semaphore-starvation"
GROUP = "Locks"

permits = threading.BoundedSemaphore(2)


def ask(connection: socket.socket) -> bytes:
    connection.sendall(b"select\n")
    return connection.recv(100)


def make_page(rows: bytes) -> None:
    time.sleep(0.1)


def serve_bad(connection: socket.socket) -> None:
    while True:
        permits.acquire()
        try:
            rows = ask(connection)
            make_page(rows)
        finally:
            permits.release()


def serve_fixed(connection: socket.socket) -> None:
    while True:
        with permits:
            rows = ask(connection)
        make_page(rows)


def bad() -> None:
    address = database(latency=0.005)
    for number in range(8):
        start(f"web-{number}", serve_bad, socket.create_connection(address, timeout=10))


def fixed() -> None:
    address = database(latency=0.005)
    for number in range(8):
        start(f"web-{number}", serve_fixed, socket.create_connection(address, timeout=10))


if __name__ == "__main__":
    perform(bad, fixed)

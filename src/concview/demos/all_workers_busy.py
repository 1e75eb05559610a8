"""Four workers, and four clients that say nothing.

A server reads requests in four threads, each of which takes one connection after the other.

bad:   it waits for a request as long as it takes. Four clients connect and send nothing; a fifth one finds nobody.
fixed: it gives a client half a second.

Look at: what all four workers wait for, and the connections that nobody has accepted.
"""

from __future__ import annotations

import contextlib
import socket
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "all-workers-busy"
GROUP = "Work distribution"
NEEDS_SECONDS = 9

server = socket.create_server(("127.0.0.1", 0))


def serve(limit: float) -> None:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(limit or None)
            with contextlib.suppress(OSError):
                if connection.recv(100):
                    connection.sendall(b"done")


def serve_bad() -> None:
    serve(0)


def serve_fixed() -> None:
    serve(0.5)


def silent() -> None:
    while True:
        connection = socket.create_connection(server.getsockname())
        connection.recv(100)
        time.sleep(2)


def ask() -> None:
    while True:
        with socket.create_connection(server.getsockname()) as connection:
            connection.sendall(b"who is there?")
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                connection.recv(100)
        time.sleep(0.2)


def bad() -> None:
    clients(serve_bad)


def fixed() -> None:
    clients(serve_fixed)


def clients(serves: object) -> None:
    for number in range(4):
        start(f"worker-{number}", serves)
    for number in range(4):
        start(f"silent-{number}", silent)
    time.sleep(0.2)
    start("client", ask)


if __name__ == "__main__":
    perform(bad, fixed)

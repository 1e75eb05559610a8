"""A request in two small pieces.

A client sends a header and then a body to a server on this machine, and reads the answer, again and again.

bad:   two calls of send: the second piece waits in the kernel until the first one is acknowledged, 40 ms a request.
fixed: one call with both.

Look at: what the client waits for, while the server waits for the rest of the request.
"""

from __future__ import annotations

import socket
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "write-write-read"
GROUP = "Async and I/O"

HEADER, BODY = b"4 ", b"name"
server = socket.create_server(("127.0.0.1", 0))


def serve() -> None:
    connection, _ = server.accept()
    while True:
        data = b""
        while not data.endswith(BODY):
            data += connection.recv(100)
        connection.sendall(b"done")


def ask_bad() -> None:
    connection = socket.create_connection(server.getsockname())
    while True:
        connection.send(HEADER)
        connection.send(BODY)
        connection.recv(100)


def ask_fixed() -> None:
    connection = socket.create_connection(server.getsockname())
    while True:
        connection.sendall(HEADER + BODY)
        connection.recv(100)
        time.sleep(0.005)


def bad() -> None:
    start("server", serve)
    start("client", ask_bad)


def fixed() -> None:
    start("server", serve)
    start("client", ask_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

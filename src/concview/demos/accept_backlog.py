"""A server that accepts, reads, computes and answers in one thread.

Each answer takes a second, for a database does; six clients ask all the time.

bad:   the thread that accepts also waits for the database. Clients are connected, and stand in the kernel's queue.
fixed: the thread that accepts does nothing else; a thread for each connection waits.

Look at: the connections that nobody has accepted, and what the only thread that could does meanwhile.
"""

from __future__ import annotations

import contextlib
import socket
import time

from _stage import database, perform, start  # type: ignore[import-not-found]

ID = "accept-backlog"
GROUP = "Work distribution"
NEEDS_SECONDS = 10
CLIENTS = 6


class Server:
    def __init__(self) -> None:
        self.database = database(1.0)
        self.listening = socket.create_server(("127.0.0.1", 0))

    def answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = connection.recv(100)
            with socket.create_connection(self.database) as db:
                db.sendall(request + b"\n")
                connection.sendall(db.recv(100))

    def serve_bad(self) -> None:
        while True:
            connection, _ = self.listening.accept()
            self.answer(connection)

    def serve_fixed(self) -> None:
        while True:
            connection, _ = self.listening.accept()
            start("connection", self.answer, connection)

    def ask(self) -> None:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(self.listening.getsockname()) as connection:
                connection.sendall(b"who is there?")
                connection.recv(100)
            time.sleep(0.05)


def bad() -> None:
    server = Server()
    begin(server, server.serve_bad)


def fixed() -> None:
    server = Server()
    begin(server, server.serve_fixed)


def begin(server: Server, serve: object) -> None:
    start("server", serve)
    for number in range(CLIENTS):
        start(f"client-{number}", server.ask)


if __name__ == "__main__":
    perform(bad, fixed)

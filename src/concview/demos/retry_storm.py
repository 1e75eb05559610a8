"""A busy server is asked again and again.

Eight threads ask a server for rows. Two of three answers are "busy".

bad:   every request is repeated until it succeeds: three times the load, on a server that is too busy already.
fixed: a budget allows one retry for twenty requests; who gets no row says so.

Look at: the view Inside: let the agent in, count calls, and compare how often attempt and fetch are called.
"""

from __future__ import annotations

import itertools
import random
import socket
import time
from functools import partial
from typing import Callable

from _stage import database, perform, start  # type: ignore[import-not-found]

ID = "retry-storm"
GROUP = "Async and I/O"
NEEDS_SECONDS = 15

LATENCY, PAUSE = 0.004, 0.01
BUDGET = 20  # requests for each retry

turns = itertools.count()


class Busy(Exception):
    pass


def attempt(server: socket.socket) -> bytes:
    server.sendall(b"row\n")
    row = server.recv(100)
    if next(turns) % 3:  # as the server says when it is overloaded
        raise Busy
    return row


def fetch_bad(server: socket.socket, tokens: list[float]) -> bytes:
    while True:
        try:
            return attempt(server)
        except Busy:
            time.sleep(PAUSE)


def fetch_fixed(server: socket.socket, tokens: list[float]) -> bytes:
    tokens[0] = min(2.0, tokens[0] + 1 / BUDGET)
    while True:
        try:
            return attempt(server)
        except Busy:
            if tokens[0] < 1:
                return b"no row now"
            tokens[0] -= 1
            time.sleep(random.uniform(0, PAUSE))


def serve(fetch: Callable[[socket.socket, list[float]], bytes], address: tuple[str, int]) -> None:
    server = socket.create_connection(address)
    tokens = [0.0]
    while True:
        fetch(server, tokens)
        wait_for_work()


def wait_for_work() -> None:
    time.sleep(0.005)


def run(fetch: Callable[[socket.socket, list[float]], bytes]) -> Callable[[], None]:
    address = database(LATENCY)
    for number in range(7):
        start(f"worker-{number}", serve, fetch, address)
    # The eighth is the main thread: before Python 3.12 the agent can only come in where that one runs.
    return partial(serve, fetch, address)


def bad() -> Callable[[], None]:
    return run(fetch_bad)


def fixed() -> Callable[[], None]:
    return run(fetch_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

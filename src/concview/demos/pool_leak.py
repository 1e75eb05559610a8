"""Connections that are taken and never given back.

A pool of three connections. Workers take one for each request; a request that is refused leaves early.

bad:   the way out of a refused request does not give the connection back: with the third of them everybody stops.
fixed: it is given back in a `finally`.

Look at: what the workers wait for, that nobody has it, and which function does not give it back.
"""

from __future__ import annotations

import queue
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "pool-leak"
GROUP = "Locks"
NEEDS_SECONDS = 9

connections: queue.Queue[str] = queue.Queue()
for number in range(3):
    connections.put(f"connection {number}")


def refused(number: int) -> bool:
    return number % 5 == 4


def serve_bad() -> None:
    number = 0
    while True:
        number += 1
        request_bad(number)


def request_bad(number: int) -> None:
    connection = connections.get()
    time.sleep(0.01)
    if refused(number):
        return
    connections.put(connection)


def serve_fixed() -> None:
    number = 0
    while True:
        number += 1
        request_fixed(number)
        time.sleep(0.05)


def request_fixed(number: int) -> None:
    connection = connections.get()
    try:
        time.sleep(0.01)
        if refused(number):
            return
    finally:
        connections.put(connection)


def bad() -> None:
    for number in range(4):
        start(f"worker-{number}", serve_bad)


def fixed() -> None:
    for number in range(3):
        start(f"worker-{number}", serve_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

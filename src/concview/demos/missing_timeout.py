"""Waiting for an answer that never comes.

Three workers ask a partner that has stopped answering. The connection stands; nobody says no.

bad:   no timeout. The workers will wait in `recv` until somebody restarts the program.
fixed: after two seconds they give up, report it, and try again later.

Look at: how long a thread has been in the same call on the same connection.
"""

from __future__ import annotations

import socket
import time
from typing import Optional

from _stage import database, perform, start  # type: ignore[import-not-found]

ID = "missing-timeout"
GROUP = "Async and I/O"
NEEDS_SECONDS = 125


def ask(address: tuple[str, int], timeout: Optional[float]) -> None:  # noqa: UP045
    while True:
        with socket.create_connection(address, timeout) as partner:
            partner.sendall(b"are you there?\n")
            try:
                partner.recv(100)
            except socket.timeout:  # noqa: UP041 - not the same as TimeoutError before 3.10
                time.sleep(1)


def run(timeout: Optional[float]) -> None:  # noqa: UP045
    address = database(latency=1_000_000)
    for number in range(3):
        start(f"worker-{number}", ask, address, timeout)


def bad() -> None:
    run(timeout=None)


def fixed() -> None:
    run(timeout=2.0)


if __name__ == "__main__":
    perform(bad, fixed)

"""A busy thread makes every answer late: the GIL convoy.

Four threads ask a database that answers within two milliseconds, while a report is computed beside them.

bad:   the report is computed by two threads of the same process. Whoever gets an answer has to wait for the GIL, five
       milliseconds for each computing thread, before the answer can even be read.
fixed: the report is computed in a process of its own.

Look at: how long the asking threads wait for the GIL after every recv, and who holds it.
"""

from __future__ import annotations

import socket
import time
from multiprocessing import get_context

from _stage import database, die_with_parent, perform, start  # type: ignore[import-not-found]

ID = "gil-convoy"
GROUP = "GIL and scheduler"


def report() -> None:
    while True:
        sum(i * i % 7 for i in range(100_000))


def report_in_process() -> None:
    die_with_parent()
    report()


def ask_all_the_time() -> None:
    address = database(latency=0.001)

    def ask() -> None:
        with socket.create_connection(address, timeout=10) as db:
            while True:
                db.sendall(b"?\n")
                db.recv(100)
                time.sleep(0.002)

    for number in range(4):
        start(f"ask-{number}", ask)


def bad() -> None:
    ask_all_the_time()
    start("report-0", report)
    start("report-1", report)


def fixed() -> None:
    get_context("fork").Process(target=report_in_process, daemon=True).start()
    ask_all_the_time()


if __name__ == "__main__":
    perform(bad, fixed)

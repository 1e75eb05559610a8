"""Threads that are started and never told to stop.

Every second a user connects, and leaves after five seconds.

bad:   every user gets a thread that keeps the connection alive, and nobody ends it when the user has left.
fixed: an event ends it, and it is joined.

Look at: the number of threads from one line of the program, over minutes. None of them ever finishes.
"""

from __future__ import annotations

import threading
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "thread-leak"
GROUP = "Async and I/O"
NEEDS_SECONDS = 30

ENOUGH = 600  # threads; then the demonstration stops growing


def keep_alive(left: threading.Event) -> None:
    while not left.wait(10):
        pass


def user_bad() -> None:
    start("keep-alive", keep_alive, threading.Event())
    time.sleep(5)


def user_fixed() -> None:
    left = threading.Event()
    keeper = start("keep-alive", keep_alive, left)
    time.sleep(5)
    left.set()
    keeper.join()


def bad() -> None:
    def arrive() -> None:
        while threading.active_count() < ENOUGH:
            start("user", user_bad)
            time.sleep(1)

    start("arrivals", arrive)


def fixed() -> None:
    def arrive() -> None:
        while True:
            start("user", user_fixed)
            time.sleep(1)

    start("arrivals", arrive)


if __name__ == "__main__":
    perform(bad, fixed)

"""Two locks, two orders: it has gone well so far.

Stock and orders each have a lock; selling needs both, and so does returning.

bad:   selling takes stock first, returning takes orders first. They happen to run at different moments; the first
       time they do not, both hang for ever.
fixed: both take stock first.

Look at: which thread takes which lock while it holds the other.
"""

from __future__ import annotations

import threading
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "lock-order-inversion"
GROUP = "Locks"

stock = threading.Lock()
orders = threading.Lock()


def at(moment: float) -> None:
    """Wait for a moment of every 600 ms: selling and returning never meet, which nobody promised."""
    time.sleep((moment - time.monotonic()) % 0.6)


def count() -> None:
    time.sleep(0.01)


def book() -> None:
    time.sleep(0.05)


def sell() -> None:
    while True:
        at(0.0)
        with stock:
            count()
            with orders:
                book()


def give_back_bad() -> None:
    while True:
        at(0.3)
        with orders:
            count()
            with stock:
                book()


def give_back_fixed() -> None:
    while True:
        at(0.3)
        with stock:
            count()
            with orders:
                book()


def bad() -> None:
    start("selling", sell)
    start("returning", give_back_bad)


def fixed() -> None:
    start("selling", sell)
    start("returning", give_back_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

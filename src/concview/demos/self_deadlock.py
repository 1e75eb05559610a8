"""A finalizer that takes a lock which its own thread holds.

Handles keep a table of what is open, under a lock; a handle that is dropped takes itself out of it.

bad:   the finalizer takes the lock. Where the last reference goes while the lock is held, its thread waits for itself.
fixed: the finalizer leaves word in a deque, and whoever next takes the lock tidies up.

Look at: the finalizer on the stack of the thread that waits, above the line that holds the lock.
"""

from __future__ import annotations

import collections
import threading
import time
from typing import Any

from _stage import perform, start  # type: ignore[import-not-found]

ID = "self-deadlock"
GROUP = "Locks"

guard = threading.Lock()
opened: set[int] = set()
closed: collections.deque[int] = collections.deque()


class HandleBad:
    def __del__(self) -> None:
        with guard:
            opened.discard(id(self))


class HandleFixed:
    def __del__(self) -> None:
        closed.append(id(self))


def work(kind: Any) -> None:
    while True:
        handle = kind()
        with guard:
            opened.add(id(handle))
            while closed:
                opened.discard(closed.popleft())
            handle = None  # the last reference, as it may go anywhere
        time.sleep(0.01)


def bad() -> None:
    for number in range(3):
        start(f"worker-{number}", work, HandleBad)


def fixed() -> None:
    for number in range(3):
        start(f"worker-{number}", work, HandleFixed)


if __name__ == "__main__":
    perform(bad, fixed)

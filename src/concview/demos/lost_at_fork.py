"""A lock that is taken, and whose owner is gone.

In a forked child it is a lock that a thread of the parent held at that moment: the thread is not copied, its lock is.
The same is seen where a thread ends without giving back what it took, as here.

bad:   `refresh` takes the lock, fails and ends; three workers wait for it for ever.
fixed: it takes the lock in a `with`, which gives it back whatever happens.

Look at: the lock that the workers wait for, and that no thread holds it.
"""

from __future__ import annotations

import threading
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "lost-at-fork"
GROUP = "Locks"
NEEDS_SECONDS = 9

cache = threading.Lock()


def load() -> None:
    raise ConnectionError("no answer")


def refresh_bad() -> None:
    cache.acquire()
    try:
        load()
    except ConnectionError:
        return
    cache.release()


def refresh_fixed() -> None:
    try:
        with cache:
            load()
    except ConnectionError:
        return


def work() -> None:
    while True:
        with cache:
            time.sleep(0.001)
        time.sleep(0.1)


def bad() -> None:
    start("refresh", refresh_bad).join()
    for number in range(3):
        start(f"worker-{number}", work)


def fixed() -> None:
    start("refresh", refresh_fixed).join()
    for number in range(3):
        start(f"worker-{number}", work)


if __name__ == "__main__":
    perform(bad, fixed)

"""A new thread for every little thing.

Three hundred messages a second, each handled in twenty milliseconds.

bad:   every message gets a thread, which is made, started, scheduled and thrown away after twenty milliseconds.
fixed: a pool of twelve threads that stay.

Look at: threads started a second, and how long they live.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "thread-churn"
GROUP = "Work distribution"


def handle() -> None:
    time.sleep(0.02)


def receive(dispatch: Callable[[], Any]) -> Callable[[], None]:
    def forever() -> None:
        while True:
            for _ in range(3):
                dispatch()
            time.sleep(0.01)

    return forever


def bad() -> Callable[[], None]:
    return receive(lambda: threading.Thread(target=handle, daemon=True).start())


def fixed() -> Callable[[], None]:
    pool = ThreadPoolExecutor(12, thread_name_prefix="handler")
    return receive(lambda: pool.submit(handle))


if __name__ == "__main__":
    perform(bad, fixed)

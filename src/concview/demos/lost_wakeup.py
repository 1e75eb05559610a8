"""A signal that is given on one way out only.

Six workers wait until a loader has read the settings.

bad:   the loader fails before it calls `ready.set()`; the workers wait for ever.
fixed: it gives the signal on every way out.

Look at: what the workers wait for, and that no thread is left that would give it.
"""

from __future__ import annotations

import threading
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "lost-wakeup"
GROUP = "Locks"
NEEDS_SECONDS = 9

ready = threading.Event()


def read_settings() -> None:
    time.sleep(0.1)
    raise KeyError("host")


def load_bad() -> None:
    try:
        read_settings()
        ready.set()
    except KeyError:
        return


def load_fixed() -> None:
    try:
        read_settings()
    except KeyError:
        return
    finally:
        ready.set()


def work() -> None:
    ready.wait()
    while True:
        time.sleep(0.1)


def bad() -> None:
    start("loader", load_bad)
    for number in range(6):
        start(f"worker-{number}", work)


def fixed() -> None:
    start("loader", load_fixed)
    for number in range(6):
        start(f"worker-{number}", work)


if __name__ == "__main__":
    perform(bad, fixed)

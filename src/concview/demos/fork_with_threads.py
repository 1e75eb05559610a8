"""A fork copies the locks, but not the threads that would release them.

A service writes its journal under a lock, and starts a helper every two seconds that has something to write, too.

bad:   the helper is forked. Is the journal's lock taken at that moment, it stays taken in the helper for ever: the
       thread that holds it exists in the parent only.
fixed: the helper is a new program with locks of its own.

Look at: helpers that never end, and what they wait for.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import get_context
from typing import Any, Callable

from _stage import perform, start  # type: ignore[import-not-found]

ID = "fork-with-threads"
GROUP = "Locks"

PR_SET_PDEATHSIG = 1
HELPERS = 4  # so many may hang before no more are started
journal = threading.Lock()


def write() -> None:
    with journal:
        time.sleep(0.05)


def service() -> None:
    while True:
        write()


def helper() -> None:
    # Not with a watching thread: a helper that hangs has this one thread only, as real ones do.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    write()


def helper_bad() -> Callable[[], bool]:
    process = get_context("fork").Process(target=helper, daemon=True)
    process.start()
    return process.is_alive


def helper_fixed() -> Callable[[], bool]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.05)"])
    return lambda: process.poll() is None


def run(start_helper: Callable[[], Callable[[], bool]]) -> None:
    start("service", service)

    def start_helpers() -> None:
        helpers: list[Any] = []
        while True:
            helpers = [alive for alive in helpers if alive()]
            if len(helpers) < HELPERS:
                helpers.append(start_helper())
            time.sleep(2)

    start("helpers", start_helpers)


def bad() -> None:
    run(helper_bad)


def fixed() -> None:
    run(helper_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

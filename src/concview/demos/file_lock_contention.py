"""One lock on one file for work that has nothing to do with each other.

Five workers keep a record of what they do in a file, and lock it (flock) meanwhile.

bad:   a worker takes the lock before it computes what it will write; four workers wait.
fixed: it takes the lock for the moment in which it writes.

Look at: what the threads wait for in `fcntl.flock`, and what the one with the lock does.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "file-lock-contention"
GROUP = "Locks"

handle, path = tempfile.mkstemp(prefix="journal-")
os.close(handle)


def compute() -> str:
    time.sleep(0.05)
    return "done\n"


def work_bad() -> None:
    while True:
        with open(path, "w") as journal:
            fcntl.flock(journal, fcntl.LOCK_EX)
            line = compute()
            journal.write(line)


def work_fixed() -> None:
    while True:
        line = compute()
        with open(path, "w") as journal:
            fcntl.flock(journal, fcntl.LOCK_EX)
            journal.write(line)


def bad() -> None:
    for number in range(5):
        start(f"job-{number}", work_bad)


def fixed() -> None:
    for number in range(5):
        start(f"job-{number}", work_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

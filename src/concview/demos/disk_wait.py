"""Every record is on the disk before the next one is made.

Eight threads keep a journal each.

bad:   each syncs its file after every record: all that they do is to wait for the disk.
fixed: they write ten times a second, and sync once a second.

Look at: what the threads wait for in `os.fsync`, and how much of their time that is.
"""

from __future__ import annotations

import os
import tempfile
import time
from itertools import count

from _stage import perform, start  # type: ignore[import-not-found]

ID = "disk-wait"
GROUP = "Async and I/O"


def keep(pause: float, records: int) -> None:
    """`records`: as many are synced together."""
    with tempfile.TemporaryFile() as journal:
        for number in count(1):
            journal.write(b"x" * 4096)
            journal.flush()
            if journal.tell() >= 1 << 20:
                journal.truncate(journal.seek(0))
            if number % records == 0:
                os.fsync(journal.fileno())
            time.sleep(pause)


def keep_bad() -> None:
    keep(0, 1)


def keep_fixed() -> None:
    keep(0.1, 10)


def bad() -> None:
    for number in range(8):
        start(f"writer-{number}", keep_bad)


def fixed() -> None:
    for number in range(8):
        start(f"writer-{number}", keep_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

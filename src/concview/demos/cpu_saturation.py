"""The machine is full.

Thumbnails are computed in C, without the GIL, one thread for every processor.

bad:   thumbnails in large size: all processors are busy all the time, and nothing is left for a busier hour.
fixed: small thumbnails are enough, and take an eighth of the work.

Look at: CPU in use against the CPU there is, over half a minute.
"""

from __future__ import annotations

import hashlib
import os
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "cpu-saturation"
GROUP = "Async and I/O"
NEEDS_SECONDS = 35


def thumbnails(size: int) -> None:
    while True:
        due = time.monotonic() + 0.2
        hashlib.pbkdf2_hmac("sha256", b"picture", b"", size)
        time.sleep(max(0.0, due - time.monotonic()))


def size_for(seconds: float) -> int:
    began = time.thread_time()
    hashlib.pbkdf2_hmac("sha256", b"picture", b"", 20_000)
    return int(20_000 * seconds / (time.thread_time() - began))


def run(seconds: float) -> None:
    size = size_for(seconds)
    for number in range(len(os.sched_getaffinity(0))):
        start(f"thumbnails-{number}", thumbnails, size)


def bad() -> None:
    run(seconds=0.4)  # five times a second: cannot be done


def fixed() -> None:
    run(seconds=0.05)


if __name__ == "__main__":
    perform(bad, fixed)

"""The CPU is full.

Thumbnails are computed in C, without the GIL. The program keeps itself to one processor, as a container with a quota
of one CPU would: what it may use is what counts, not what the machine has.

bad:   thumbnails in large size: the processor is busy all the time, and nothing is left for a busier hour.
fixed: small thumbnails are enough, and take a fortieth of the work.

Look at: CPU in use against the CPU it may use, over a quarter of a minute.
"""

from __future__ import annotations

import hashlib
import os
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "cpu-saturation"
GROUP = "Async and I/O"
NEEDS_SECONDS = 20


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
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    start("thumbnails", thumbnails, size_for(seconds))


def bad() -> None:
    run(seconds=0.4)  # five times a second: cannot be done


def fixed() -> None:
    run(seconds=0.01)


if __name__ == "__main__":
    perform(bad, fixed)

"""A consumer that waits for room in the queue it reads from.

One thread uploads log lines out of a bounded queue that three others fill.

bad:   the upload writes a line itself, into the same queue: once that is full, nobody takes anything out any more.
fixed: what the upload has to say goes to a list of its own.

Look at: the uploader in `lines.put`, and the writers in the same call.
"""

from __future__ import annotations

import queue
import time
from typing import List

from _stage import perform, start  # type: ignore[import-not-found]

ID = "queue-dead-end"
GROUP = "Locks"
NEEDS_SECONDS = 9

lines: queue.Queue[str] = queue.Queue(20)
own: List[str] = []


def upload_bad() -> None:
    while True:
        line = lines.get()
        time.sleep(0.002)
        if line.endswith("0"):
            lines.put("uploaded a hundred")


def upload_fixed() -> None:
    while True:
        line = lines.get()
        time.sleep(0.002)
        if line.endswith("0"):
            own[:] = ["uploaded a hundred"]


def write() -> None:
    number = 0
    while True:
        number += 1
        lines.put(f"line {number}")


def bad() -> None:
    start("uploader", upload_bad)
    for number in range(3):
        start(f"writer-{number}", write)


def calm() -> None:
    number = 0
    while True:
        number += 1
        lines.put(f"line {number}")
        time.sleep(0.05)


def fixed() -> None:
    start("uploader", upload_fixed)
    for number in range(3):
        start(f"writer-{number}", calm)


if __name__ == "__main__":
    perform(bad, fixed)

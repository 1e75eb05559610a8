"""Asking again and again whether there is something to do.

Two workers wait for jobs, of which ten a second arrive.

bad:   they look into the queue in a loop. A whole core is spent on finding it empty, with the GIL taken each time.
fixed: they wait in `get()` and are woken when a job is there.

Look at: the CPU of workers that do nothing, and the line they do it on.
"""

from __future__ import annotations

import queue
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "busy-wait"
GROUP = "GIL and scheduler"

jobs: queue.Queue[int] = queue.Queue()


def work_bad() -> None:
    while True:
        try:
            jobs.get_nowait()
        except queue.Empty:
            time.sleep(0)


def work_fixed() -> None:
    while True:
        jobs.get()


def arrive() -> None:
    while True:
        jobs.put(1)
        time.sleep(0.1)


def bad() -> None:
    start("arrivals", arrive)
    start("worker-0", work_bad)
    start("worker-1", work_bad)


def fixed() -> None:
    start("arrivals", arrive)
    start("worker-0", work_fixed)
    start("worker-1", work_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

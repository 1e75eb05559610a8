"""The neighbours take the CPU.

A service computes for half of its time; batch jobs share its machine.

bad:   two batch processes for every processor, as important as the service: it waits for the CPU longer than it
       has it.
fixed: one batch process, and a nice one: it takes what the service leaves.

Look at: `runnable` in the service's thread, while the process itself uses little CPU.
"""

from __future__ import annotations

import os
import time
from multiprocessing import get_context

from _stage import die_with_parent, perform, start  # type: ignore[import-not-found]

ID = "cpu-starvation"
GROUP = "GIL and scheduler"


def batch(niceness: int) -> None:
    die_with_parent()
    os.nice(niceness)
    while True:
        sum(range(100_000))


def serve() -> None:
    while True:
        began = time.thread_time()
        while time.thread_time() - began < 0.03:
            sum(range(1000))
        time.sleep(0.03)


def run(batches: int, niceness: int) -> None:
    for _ in range(batches):
        get_context("fork").Process(target=batch, args=(niceness,), daemon=True).start()
    start("service", serve)


def bad() -> None:
    run(batches=2 * len(os.sched_getaffinity(0)), niceness=0)


def fixed() -> None:
    run(batches=1, niceness=19)


if __name__ == "__main__":
    perform(bad, fixed)

"""Threads that are moved from CPU to CPU.

Eight workers count requests of their own.

bad:   a worker pins itself to the next CPU for every request, "to spread the load", and goes home again. Each time it
       has to wait until the other CPU takes it over, and finds its data in the caches of the one before.
fixed: every worker is pinned once.

Look at: migrations a second against context switches. (With one CPU only there is nowhere to move to.)
"""

from __future__ import annotations

import itertools
import os
import threading

from _stage import perform, start  # type: ignore[import-not-found]

ID = "cpu-migration"
GROUP = "GIL and scheduler"
NEEDS_SECONDS = 20  # on a busy machine; 4 otherwise

WORKERS = 8
CPUS = sorted(os.sched_getaffinity(0))
requests = [0] * WORKERS


def spread(number: int, stop: threading.Event) -> None:
    home = CPUS[number % len(CPUS)]
    for cpu in itertools.cycle(cpu for cpu in CPUS if cpu != home):
        os.sched_setaffinity(0, {cpu})  # 0: the calling thread
        requests[number] += 1
        os.sched_setaffinity(0, {home})
        if stop.wait(0.004):
            return


def stay(number: int, stop: threading.Event) -> None:
    os.sched_setaffinity(0, {CPUS[number % len(CPUS)]})
    while not stop.wait(0.004):
        requests[number] += 1


def bad() -> None:
    if len(CPUS) < 2:
        raise SystemExit("this demo needs two CPUs")
    for number in range(WORKERS):
        start(f"worker-{number}", spread, number, threading.Event())


def fixed() -> None:
    for number in range(WORKERS):
        start(f"worker-{number}", stay, number, threading.Event())


if __name__ == "__main__":
    perform(bad, fixed)

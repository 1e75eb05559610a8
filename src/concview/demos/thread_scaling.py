"""One job on 1, 2, 4 and 8 threads: the speed-up, beside Amdahl's law.

The same work is shared out to ever more threads, four seconds each, over and over. After each step the demo prints the
speed-up against one thread, the serial part that explains it (Karp and Flatt's measure: (1/S - 1/n) / (1 - 1/n)), and
what Amdahl's law promised from the step before.

bad:   the job is pure Python. One thread at a time has the GIL: the serial part is 1, more threads are no faster.
fixed: the job is hashing, which lets go of the GIL. It gets faster until the CPUs are all busy, and not beyond: this is
       no serial part, only the end of the machine.

Look at: running and GIL in the Overview's bar as the threads grow; `concview scale` does this for a program of yours.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import Any, Callable, Dict, List

from _stage import perform  # type: ignore[import-not-found]

ID = "thread-scaling"
GROUP = "Lessons"
PRINTS = True
#: The last step begins after three of them.
NEEDS_SECONDS = 16.0
STEP_S = 4.0
BLOCK = bytes(200_000)


def loops() -> None:
    for _ in range(5000):
        pass


def digest() -> None:
    hashlib.sha256(BLOCK).digest()


def worker(job: Callable[[], None], until: float, done: List[int], mine: int) -> None:
    while time.monotonic() < until:
        job()
        done[mine] += 1


def step(job: Callable[[], None], threads: int) -> float:
    """Jobs a second with so many threads."""
    done = [0] * threads
    began = time.monotonic()
    team = [
        threading.Thread(target=worker, args=(job, began + STEP_S, done, i), name="worker-%d" % i, daemon=True)
        for i in range(threads)
    ]
    for member in team:
        member.start()
    for member in team:
        member.join()
    return sum(done) / (time.monotonic() - began)


def run(job: Callable[[], None]) -> Callable[[], Any]:
    def forever() -> None:
        while True:
            rates: Dict[int, float] = {}
            serial = None
            for threads in (1, 2, 4, 8):
                promised = "" if serial is None else "; Amdahl promised %.2f" % (1 / (serial + (1 - serial) / threads))
                rates[threads] = step(job, threads)
                speedup = rates[threads] / rates[1]
                said = "%d threads on %d CPUs: %5.2f times as fast" % (threads, os.cpu_count() or 1, speedup)
                if threads > 1:
                    serial = max(0.0, (1 / speedup - 1 / threads) / (1 - 1 / threads))
                    said += ", serial part %.2f" % serial
                    if serial > 1:
                        said += " (more than all of it: they are in each other's way)"
                print(said + promised, flush=True)

    return forever


def bad() -> Callable[[], Any]:
    return run(loops)


def fixed() -> Callable[[], Any]:
    return run(digest)


if __name__ == "__main__":
    perform(bad, fixed)

"""How long a thread keeps the GIL: throughput against answering in time.

Three threads compute in pure Python. A fourth wants to run for an instant every 10 ms, as a server does that answers
short requests. It asks for the GIL, and gets it when the thread that has it has had its interval. Every second the demo
prints how late the fourth one was and how much was computed.

bad:   sys.setswitchinterval(0.05). A request waits for 50 ms and more, behind three threads up to three times as long.
fixed: 1 ms. Requests are answered in time, for a little more switching. Python's own choice is 5 ms.

Look at: the state GIL of the thread `requests`, and the GIL's waiters; the computing itself hardly differs.
"""

from __future__ import annotations

import sys
import time
from typing import List

from _stage import perform, start  # type: ignore[import-not-found]

ID = "gil-switch-interval"
GROUP = "Lessons"
PRINTS = True
EVERY_S = 0.01
computed = 0
late: List[float] = []


def compute() -> None:
    global computed
    while True:
        for _ in range(1000):
            pass
        computed += 1


def requests() -> None:
    due = time.monotonic() + EVERY_S
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        late.append(now - due)
        due = now + EVERY_S


def tell() -> None:
    before, since = computed, time.monotonic()
    while True:
        time.sleep(1)
        now, at, seen = computed, time.monotonic(), sorted(late)
        late.clear()
        if seen:
            median, worst = seen[len(seen) // 2], seen[-1]
            print(
                "requests: %3d a second, late by %5.1f ms (median), %5.1f ms (worst); computed: %6.0f loops/s"
                % (len(seen) / (at - since), 1e3 * median, 1e3 * worst, (now - before) / (at - since)),
                flush=True,
            )
        before, since = now, at


def run(interval: float) -> None:
    sys.setswitchinterval(interval)
    for i in range(3):
        start("compute-%d" % i, compute)
    start("requests", requests)
    start("reporter", tell)


def bad() -> None:
    run(0.05)


def fixed() -> None:
    run(0.001)


if __name__ == "__main__":
    perform(bad, fixed)

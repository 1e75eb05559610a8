"""A queue without a bound.

Pictures arrive a little faster than they can be resized.

bad:   the queue takes whatever comes. Every second a hundred more wait, memory grows, and each waits longer.
fixed: the queue has fifty places; whoever brings pictures waits, and knows that there is too much to do.

Look at: the length of the queue and the memory over a minute.
"""

from __future__ import annotations

import queue
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "unbounded-queue"
GROUP = "Work distribution"
NEEDS_SECONDS = 20

ENOUGH = 30_000  # pictures; then the demonstration stops growing


def run(pictures: queue.Queue[bytes]) -> None:
    def receive() -> None:
        while True:
            if pictures.qsize() < ENOUGH:
                pictures.put(b"x" * 10_000)
            time.sleep(0.005)

    def resize() -> None:
        while True:
            pictures.get()
            time.sleep(0.01)

    start("receiver", receive)
    start("resizer", resize)


def bad() -> None:
    run(queue.Queue())


def fixed() -> None:
    run(queue.Queue(maxsize=50))


if __name__ == "__main__":
    perform(bad, fixed)

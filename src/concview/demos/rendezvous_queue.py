"""A queue with room for one.

A downloader and a writer; both are now quick, now slow, and equally fast on average.

bad:   the queue has one place. Each waits for the other's slow moments as well as its own.
fixed: 256 places even out the slow moments; the writer has a little time to spare.

Look at: the writer waiting in `get` and the downloader waiting in `put`, by turns.
"""

from __future__ import annotations

import queue
import random
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "rendezvous-queue"
GROUP = "Work distribution"


def now_and_then(seconds: float) -> None:
    """Every tenth item takes ten times as long, the others no time at all."""
    if random.random() < 0.1:
        time.sleep(10 * seconds)


def run(places: int) -> None:
    items: queue.Queue[bytes] = queue.Queue(places)

    def download() -> None:
        while True:
            now_and_then(0.004)
            items.put(bytes(100))

    def write() -> None:
        while True:
            items.get()
            now_and_then(0.004)

    start("downloader", download)
    start("writer", write)


def bad() -> None:
    run(places=1)


def fixed() -> None:
    run(places=256)


if __name__ == "__main__":
    perform(bad, fixed)

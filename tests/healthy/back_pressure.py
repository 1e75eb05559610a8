"""A fast producer, a slow consumer that waits for a disk, and a bounded queue between them that is always full."""

from __future__ import annotations

import queue
import time

from _program import perform, start


def program() -> None:
    items: queue.Queue[bytes] = queue.Queue(maxsize=64)

    def produce() -> None:
        while True:
            items.put(bytes(1000))

    def consume() -> None:
        while True:
            batch = [items.get() for _ in range(16)]
            time.sleep(0.02)  # written
            del batch

    start("producer", produce)
    start("consumer", consume)


if __name__ == "__main__":
    perform(program)

"""A producer, a bounded queue and a consumer: two hundred items a second, a millisecond of work each."""

from __future__ import annotations

import hashlib
import queue
import time

from _program import perform, start


def program() -> None:
    items: queue.Queue[bytes] = queue.Queue(maxsize=100)

    def produce() -> None:
        while True:
            items.put(bytes(200_000))
            time.sleep(0.005)

    def consume() -> None:
        while True:
            hashlib.sha256(items.get()).digest()
            items.task_done()

    start("producer", produce)
    start("consumer", consume)


if __name__ == "__main__":
    perform(program)

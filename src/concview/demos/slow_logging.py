"""Everybody waits for the log.

Twelve workers write five lines for every request, to a terminal at the other end of a slow connection.

bad:   a handler has one lock, and keeps it while it writes: 1.5 ms a line. The workers queue for it.
fixed: the workers put their lines into a queue; one listener writes them.

Look at: who holds the handler's lock, and who waits for it.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import random
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "slow-logging"
GROUP = "Locks"

log = logging.getLogger("app")


class SlowTerminal:
    def write(self, text: str) -> None:
        time.sleep(0.0015)

    def flush(self) -> None:
        pass


def work() -> None:
    while True:
        for step in range(5):
            log.warning("step %d", step)
        time.sleep(random.uniform(0, 0.3))


def run(handler: logging.Handler) -> None:
    log.addHandler(handler)
    log.propagate = False
    for number in range(12):
        start(f"worker-{number}", work)


def bad() -> None:
    run(logging.StreamHandler(SlowTerminal()))


def fixed() -> None:
    records: queue.Queue[logging.LogRecord] = queue.Queue(10_000)
    logging.handlers.QueueListener(records, logging.StreamHandler(SlowTerminal())).start()
    run(logging.handlers.QueueHandler(records))


if __name__ == "__main__":
    perform(bad, fixed)

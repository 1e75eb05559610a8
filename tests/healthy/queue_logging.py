"""Six workers that log a lot through a QueueHandler: one listener writes."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import tempfile
import time

from _program import perform, start

log = logging.getLogger("app")


def work(number: int) -> None:
    while True:
        for step in range(5):
            log.info("worker %d step %d", number, step)
        time.sleep(0.05)


def program() -> None:
    records: queue.Queue[logging.LogRecord] = queue.Queue(10_000)
    file = logging.StreamHandler(tempfile.TemporaryFile("w"))  # noqa: SIM115 - open as long as the program runs
    log.setLevel(logging.INFO)
    log.addHandler(logging.handlers.QueueHandler(records))
    log.propagate = False
    logging.handlers.QueueListener(records, file).start()
    for number in range(6):
        start(f"worker-{number}", work, number)


if __name__ == "__main__":
    perform(program)

"""A service with nothing to do: workers wait for a queue, an event and a condition."""

from __future__ import annotations

import queue
import threading

from _program import perform, start


def program() -> None:
    jobs: queue.Queue[object] = queue.Queue()
    stop = threading.Event()
    changed = threading.Condition()

    def wait_for_change() -> None:
        with changed:
            while True:
                changed.wait()

    def wait_for_jobs() -> None:
        while True:
            jobs.get()

    for number in range(4):
        start(f"worker-{number}", wait_for_jobs)
    start("shutdown", stop.wait)
    start("watcher", wait_for_change)
    start("ticker", lambda: [stop.wait(1.0) for _ in iter(int, 1)])


if __name__ == "__main__":
    perform(program)

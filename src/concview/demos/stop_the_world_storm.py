"""A service on a build without a GIL collects garbage after every answer, and stops all its threads each time.

Three threads answer requests beside a store of some ten thousand records. Without a GIL they run in parallel, but the
garbage collector looks at objects only while nobody works on them: it stops all threads, looks through everything there
is and lets them go on.

bad:   gc.collect() after every answer, "to keep memory low".
fixed: the same without; the store is frozen after start-up, so that the collections that do happen are short.

Look at: threads that are stopped, and who asked for it. Needs a free-threaded build (python3.14t).
"""

from __future__ import annotations

import gc
import time
from typing import Any, Callable, Dict, List

from _stage import perform, rounds_for, start  # type: ignore[import-not-found]

ID = "stop-the-world-storm"
GROUP = "GIL and scheduler"
FREE_THREADED = True

STORE: List[Dict[str, Any]] = []


def work(rounds: int) -> int:
    total = 0
    for n in range(rounds):
        total += n * n
    return total


def answer(rounds: int, afterwards: Callable[[], Any]) -> None:
    while True:
        work(rounds)
        afterwards()
        time.sleep(0.01)


def serve(afterwards: Callable[[], Any]) -> None:
    STORE.extend({"id": n, "tags": [n, n + 1]} for n in range(50000))
    rounds = rounds_for(0.02, work)
    for number in range(3):
        start("answer-%d" % number, answer, rounds, afterwards)


def bad() -> None:
    serve(gc.collect)


def fixed() -> None:
    serve(lambda: None)
    gc.freeze()


if __name__ == "__main__":
    perform(bad, fixed, free_threaded=True)

"""The price of a switch: one job, cut in pieces for 64 threads.

A token goes round 64 threads. Who has it works on its piece and hands it on, so one thread works at a time, as if there
were only one. Every second the demo prints what a piece cost in CPU time, and how much of that was work.

bad:   a piece takes 20 µs. Handing on costs as much or more: two system calls, a change of threads, cold caches.
fixed: 10 ms of work before the token is handed on. The same job, and hardly any of it is lost.

Look at: context switches a second (view 6), and what the threads wait for: 63 of 64 stand still either way, and that is
not what is slow. `concview costs` measures what a switch costs here.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from _stage import perform, rounds_for, start  # type: ignore[import-not-found]

ID = "scheduler-overhead"
GROUP = "Lessons"
PRINTS = True
THREADS = 64
PIECE_S = 20e-6
pieces = 0


def piece(rounds: int) -> int:
    total = 0
    for i in range(rounds):
        total += i
    return total


def member(mine: Any, following: Any, at_once: int, rounds: int) -> None:
    global pieces
    while True:
        mine.acquire()
        for _ in range(at_once):
            piece(rounds)
            pieces += 1
        following.release()


def tell(alone: float) -> None:
    """`alone`: seconds of CPU that a piece takes where nothing is handed on."""
    before, since, used = pieces, time.monotonic(), time.process_time()
    while True:
        time.sleep(1)
        now, at, spent = pieces, time.monotonic(), time.process_time()
        done = max(1, now - before)
        cost = (spent - used) / done
        print(
            "%6.0f pieces/s; a piece costs %5.1f us of CPU, and %5.1f us without switching: %3.0f %% is work"
            % (done / (at - since), 1e6 * cost, 1e6 * alone, min(100.0, 100 * alone / cost)),
            flush=True,
        )
        before, since, used = now, at, spent


def run(at_once: int) -> None:
    rounds = rounds_for(PIECE_S, piece)
    began = time.thread_time()
    for _ in range(10_000):
        piece(rounds)
    alone = (time.thread_time() - began) / 10_000
    turns = [threading.Semaphore(0) for _ in range(THREADS)]
    for i, turn in enumerate(turns):
        start("member-%d" % i, member, turn, turns[(i + 1) % THREADS], at_once, rounds)
    turns[0].release()
    start("reporter", tell, alone)


def bad() -> None:
    run(at_once=1)


def fixed() -> None:
    run(at_once=500)


if __name__ == "__main__":
    perform(bad, fixed)

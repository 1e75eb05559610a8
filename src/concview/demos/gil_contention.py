"""Threads that compute in pure Python take turns: the GIL.

An animation of a fractal, two frames a second, each cut into sixteen strips that are drawn by a pool.

bad:   a pool of four threads. Only the one that holds the GIL runs, the others wait for it; frames come late.
fixed: the same code with a pool of processes, each with an interpreter and a GIL of its own.

Look at: the threads' states (three of four wait for the GIL) and the CPU, which stays at one core.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any, Callable

from _stage import die_with_parent, perform, rounds_for  # type: ignore[import-not-found]

ID = "gil-contention"
GROUP = "GIL and scheduler"

STRIPS = 16
FRAME_EVERY = 0.5
CPU_PER_FRAME = 0.6  # more than one core can do in time


def draw(points: int) -> int:
    inside = 0
    for point in range(points):
        c, z = complex(-0.7, point % 100 / 300), 0j
        for _ in range(20):
            z = z * z + c
        inside += abs(z) < 2
    return inside


def animate(pool: Any) -> Callable[[], None]:
    points = rounds_for(CPU_PER_FRAME / STRIPS, draw)

    def forever() -> None:
        while True:
            due = time.monotonic() + FRAME_EVERY
            list(pool.map(draw, [points] * STRIPS))
            time.sleep(max(0.0, due - time.monotonic()))

    return forever


def bad() -> Callable[[], None]:
    return animate(ThreadPoolExecutor(4, thread_name_prefix="draw"))


def fixed() -> Callable[[], None]:
    return animate(get_context("fork").Pool(2, initializer=die_with_parent))


if __name__ == "__main__":
    perform(bad, fixed)

"""A cache without a bound.

Two renderers keep every page that they have rendered. The program gives itself a small limit of memory (RLIMIT_DATA),
as a container does, so that it harms nobody: at the limit it would get a MemoryError, not the machine.

bad:   pages are kept for ever, and the limit comes nearer. (Slower towards the end, and the last hundredth is left
       free: the demo is to be looked at, not to fail.)
fixed: the last hundred pages are kept.

Look at: memory in use against the limit, and how long the rest will last.
"""

from __future__ import annotations

import collections
import itertools
import resource
import threading
import time
from pathlib import Path
from typing import Callable

from _stage import perform, start  # type: ignore[import-not-found]

ID = "memory-saturation"
GROUP = "Async and I/O"
NEEDS_SECONDS = 10

PAGE = 100_000
ROOM = 96 << 20  # beyond what the interpreter has at the start
RECENT = 100
SLOWLY = 30
numbers = itertools.count()
Keep = Callable[[int, bytes], None]


def data_size() -> int:
    """Bytes of private writable memory, as the limit counts them."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def render(number: int) -> bytes:
    return b"".join(b"%d, " % (n % 90) for n in range(number, number + PAGE // 4))


def renderer(keep: Callable[[int, bytes], None]) -> None:
    while True:
        number = next(numbers)
        page = render(number)
        keep(number, page)
        time.sleep(0.1)


def run(limited: Callable[[int], Keep]) -> None:
    """`limited` is told the limit and says how pages are kept. Threads first: their stacks count, too."""
    keep: list[Keep] = []
    go = threading.Event()

    def renderer() -> None:
        go.wait()
        for number in numbers:
            page = render(number)
            keep[0](number, page)
            time.sleep(0.1)

    for number in range(2):
        start(f"renderer-{number}", renderer)
    limit = data_size() + ROOM
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    keep.append(limited(limit))
    go.set()


def bad() -> None:
    def limited(limit: int) -> Keep:
        pages: dict[int, bytes] = {}
        while data_size() < 0.92 * limit:  # what a few hours of work would have brought
            pages[next(numbers)] = bytes(PAGE)

        def keep(number: int, page: bytes) -> None:
            used = data_size() / limit
            if used < 0.96 or (used < 0.99 and number % SLOWLY == 0):
                pages[number] = page

        return keep

    run(limited)


def fixed() -> None:
    def limited(limit: int) -> Keep:
        pages: collections.deque[tuple[int, bytes]] = collections.deque(maxlen=RECENT)
        return lambda number, page: pages.append((number, page))

    run(limited)


if __name__ == "__main__":
    perform(bad, fixed)

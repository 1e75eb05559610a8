"""Small objects are kept in a pool, which costs more than making them anew.

A page is laid out word by word; for each word a box is needed, for the time of one addition.

bad:   boxes are taken out of a queue and put back.
fixed: every word gets a new box.

Look at: the view Inside: let the agent in, count calls, and compare Queue.get and Queue.put with Box.__init__.
"""

from __future__ import annotations

import queue
from functools import partial
from typing import Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "object-pool-overhead"
GROUP = "Work distribution"
NEEDS_SECONDS = 15

WORDS = list(range(10, 60))


class Box:
    __slots__ = ("height", "width")

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height

    def area(self) -> int:
        return self.width * self.height


boxes: queue.Queue[Box] = queue.Queue()


def lay_out_bad() -> Box:
    """The box of the whole page; that one is the caller's."""
    whole = 0
    for width in WORDS:
        box = boxes.get()
        box.width = width
        whole += box.area()
        boxes.put(box)
    return Box(whole, 1)


def lay_out_fixed() -> Box:
    whole = 0
    for width in WORDS:
        box = Box(width, 12)
        whole += box.area()
    return Box(whole, 1)


def pages(lay_out: Callable[[], Box]) -> None:
    while True:
        lay_out()


# In the main thread: before Python 3.12 the agent can only come in where that one runs.


def bad() -> Callable[[], None]:
    for _ in range(4):
        boxes.put(Box(0, 12))
    return partial(pages, lay_out_bad)


def fixed() -> Callable[[], None]:
    return partial(pages, lay_out_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

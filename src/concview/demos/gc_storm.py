"""The garbage collector runs all the time.

A service keeps a large table and builds small trees, nodes that know their parents, for every request.

bad:   somebody has set the collector's thresholds low to save memory. It looks for cycles after every few objects.
fixed: the thresholds are left alone, what stays for ever is frozen, and the trees are taken apart by hand.

Look at: the share of time in which the collector runs, in whatever thread happens to allocate.
"""

from __future__ import annotations

import gc
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "gc-storm"
GROUP = "GIL and scheduler"


class Node:
    def __init__(self, parent: Node | None) -> None:
        self.parent = parent
        self.children: list[Node] = []
        if parent is not None:
            parent.children.append(self)


table = [{"row": number} for number in range(100_000)]


def request() -> list[Node]:
    root = Node(None)
    return [root] + [Node(root) for _ in range(400)]


def serve_bad() -> None:
    while True:
        request()
        time.sleep(0.005)


def serve_fixed() -> None:
    while True:
        for node in request():
            node.parent = None
            node.children.clear()
        time.sleep(0.005)


def bad() -> None:
    gc.set_threshold(10, 1, 1)
    for number in range(2):
        start(f"web-{number}", serve_bad)


def fixed() -> None:
    gc.freeze()
    for number in range(2):
        start(f"web-{number}", serve_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

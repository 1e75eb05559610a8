"""Threads that were born while concview watched: what is there when one attaches was not made now."""

from __future__ import annotations

from dataclasses import dataclass

from concview.analysis.window import ThreadWindow, Window

#: Whoever is seen so soon after attaching was there before; names and stacks of many threads take a moment.
GRACE_NS = 1_000_000_000
#: Over a shorter time no rate is told.
MIN_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Births:
    """In `seconds`, up to the end of the window."""

    threads: tuple[ThreadWindow, ...]
    seconds: float


def births(window: Window) -> Births | None:
    """None while the time is too short."""
    since = max(window.start_ns, window.history.first_ns + GRACE_NS)
    seconds = (window.end_ns - since) / 1e9
    if seconds < MIN_SECONDS:
        return None
    return Births(tuple(t for t in window.threads if t.history.born_ns > since), seconds)

"""A sink for trying readers alone, and waiting for what will happen without saying when."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from concview.model import NO_WAIT, Event, Wait


class Sink:
    """Numbers waits from 1 and keeps events."""

    def __init__(self) -> None:
        self.generation = 0
        self.ids: dict[Wait, int] = {}
        self.waits: list[Wait | None] = [None]
        self.events: list[Event] = []

    def wait(self, wait: Wait) -> int:
        if wait not in self.ids:
            self.ids[wait] = len(self.waits)
            self.waits.append(wait)
        return self.ids[wait]

    def waited(self, number: int) -> Wait:
        return self.waits[number] or NO_WAIT

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def forget(self) -> None:
        """Ids given so far are void."""
        self.ids.clear()
        self.generation += 1


def eventually(look: Callable[[], Any], what: str = "") -> Any:
    """The first true answer of `look`. Fails after half a minute: that is a hang, not a measurement."""
    deadline = time.monotonic() + 30
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, what or "did not happen"
        time.sleep(0.02)

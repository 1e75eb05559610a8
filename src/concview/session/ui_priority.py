"""The reader steps aside while a key is answered: both need the GIL, and a person waits for one of them only."""

from __future__ import annotations

import time

#: Seconds: what answering a key takes as a rule, on a machine that does other things, too.
ASIDE_S = 0.06
_NAP_S = 0.002


class UiPriority:
    """`ask` from any thread; `give_way` from the reader, between two pieces of work.

    At most half of the time is given away: the reader gets as long as the last pause lasted before it steps aside
    again, so that it keeps up while a key is held down.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._not_before = 0.0

    def ask(self) -> None:
        self._until = time.monotonic() + ASIDE_S

    def give_way(self) -> None:
        if not self._until:
            return
        began = now = time.monotonic()
        if now < self._not_before:
            return
        last = began + ASIDE_S  # asked again meanwhile: that does not make it longer
        while now < min(self._until, last):
            time.sleep(_NAP_S)
            now = time.monotonic()
        self._until = 0.0
        self._not_before = now + (now - began)

"""It pauses between two tries of what fails: in a loop's exception handler, or in a function that calls again and again
what it was given (tenacity, backoff and their like). That is no pause of its own choice: the work does not get done.

A library's own thread that tries again to reach something does so for itself.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.attempts import failing
from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.model import State


class Retrying:
    order: ClassVar[int] = 30
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.state is State.SLEEP or (look.via == "Event.wait" and look.wait.timed)

    def follow(self, waiter: Waiter) -> Root | None:
        said = failing(waiter.world, waiter.look.stack, waiter.look.own)
        return waiter.end(End.RETRY, said) if said else None


KIND = Retrying()

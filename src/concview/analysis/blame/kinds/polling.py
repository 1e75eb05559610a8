"""It looks again and again, with a pause in between, whether something has come: a result in a table, a file that goes
away. Who would bring it, nothing tells; but that is what it waits for, and no pause of its own choice."""

from __future__ import annotations

import re
from typing import ClassVar

from concview.analysis.blame.attempts import PAUSES
from concview.analysis.blame.kinds.sleeping import in_task
from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import TOLD_TO_END, bare
from concview.model import Frame, State
from concview.source.wakes import Loop

#: What a loop looks at that goes on until the program ends.
_GOES_ON = re.compile(r"run|alive|active|enabled|keep|open|connected|true", re.IGNORECASE)
_DEPTH = 4


class Polling:
    order: ClassVar[int] = 31
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.state is State.SLEEP and look.wait.via != "native" and bool(look.own)

    def follow(self, waiter: Waiter) -> Root | None:
        own = waiter.look.own
        for frame in own[:_DEPTH]:
            if frame.origin != "user" or (waiter.tid == waiter.world.main and own[-1] is frame):
                return None
            loop = waiter.world.file(frame.file).loop(frame.function, frame.line)
            if loop is not None:
                ends = any(_ends(name, loop) for name in loop.test)
                # In the outermost function of a thread nobody waits for it to be over, unless it returns what has come.
                asked = own[-1] is not frame or not loop.test or in_task(waiter.look.stack)
                polls = loop.polls and asked and not ends and not _consumes(waiter, frame)
                return waiter.end(End.POLL, "looks again and again for what has not come") if polls else None
            if not PAUSES.search(bare(frame.function)):
                return None
        return None


def lasts(name: str) -> bool:
    """Whether it is called as what goes on until the program ends."""
    return bool(TOLD_TO_END.search(name) or _GOES_ON.search(name))


def _ends(name: str, loop: Loop) -> bool:
    """Whether a loop that looks at this goes on until the program ends. `while running` does, `while not running` waits
    until it has come."""
    return bool(TOLD_TO_END.search(name)) or (name not in loop.until and lasts(name))


def _consumes(waiter: Waiter, polls: Frame) -> bool:
    """Whether it is taken in an endless loop further out: a consumer without work, as far as is known."""
    own = waiter.look.own
    for frame in own[own.index(polls) + 1 :]:
        loop = waiter.world.file(frame.file).loop(frame.function, frame.line) if frame.origin == "user" else None
        if loop is not None and loop.endless:
            return True
    return False


KIND = Polling()

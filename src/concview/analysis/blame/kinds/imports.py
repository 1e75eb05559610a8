"""An import that another thread is at: the import system's lock of one module."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Node, Via
from concview.analysis.blame.ties import ties
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import bare, is_file
from concview.model import Confidence, Frame
from concview.source.calls import IMPORT


def _loads(frame: Frame) -> bool:
    """Whether the import system loads a module there."""
    return frame.origin == "frozen" and bare(frame.function) == "_load_unlocked" and is_file(frame, IMPORT)


class Imports:
    order: ClassVar[int] = 49
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == "import"

    def follow(self, waiter: Waiter) -> Link:
        moment, target = waiter.moment, waiter.wait.target
        told = ties(waiter)
        what = f"the import of {told.row.name}" if told is not None and told.row.name else "an import"
        if target in moment.runs and target != waiter.tid:  # the module's lock records who has it
            return waiter.link(Via.IMPORT, what, [target], Confidence.EXACT, key=("import", waiter.wait.lock))
        importing = moment.once(("importing",), lambda: self._importing(waiter))
        others = [t for t in importing if t != waiter.tid]
        otherwise = waiter.end(End.UNEXPLAINED, "an import that no thread is seen to do")
        return waiter.link(Via.IMPORT, what, others, otherwise=otherwise)

    def _importing(self, waiter: Waiter) -> list[Node]:
        """Those inside the body of a module that is being imported, or at loading one."""
        moment, found = waiter.moment, []
        for tid in moment.runs:
            look = moment.look(tid)
            if any(_loads(f) for f in look.stack.frames):
                found.append(tid)
        return found


KIND = Imports()

"""A C library that sleeps inside a call and tries again: SQLite, while another connection has the file.

The kernel says only that it sleeps; the line says that a statement is executed. In the way are those that are past such
a line, in a function that executes, and have not yet come to the end of what follows it.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Node, Via
from concview.analysis.blame.world import Look, Waiter

_EXECUTES = frozenset({"execute", "executemany", "executescript", "commit"})


class Database:
    order: ClassVar[int] = 30
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == "database"

    def follow(self, waiter: Waiter) -> Link:
        frame = waiter.frame
        have = waiter.moment.once(("database", frame.file, frame.function), lambda: self._past(waiter))
        others = [t for t in have if t != waiter.tid]
        otherwise = waiter.end(End.UNEXPLAINED, "a database that is locked: not seen by whom")
        return waiter.link(Via.DATABASE, "a database that is locked", others, otherwise=otherwise)

    @staticmethod
    def _past(waiter: Waiter) -> list[Node]:
        """Those in a function with a statement behind them that do not execute one in vain now."""
        found: list[Node] = []
        moment, world = waiter.moment, waiter.world
        for tid in moment.runs:
            look = moment.look(tid)
            for frame in look.own:
                function = world.file(frame.file).function_at(frame.function, frame.line)
                if function is None:
                    continue
                here = [c for c in function.calls if c.method in _EXECUTES]
                sleeps = look.via == "database" and frame is look.frame and any(c.line == frame.line for c in here)
                before = any(c.line < frame.line and c.method != "commit" for c in here)
                after = any(
                    c.line >= frame.line and c.method in ("commit", "close", "__exit__") for c in function.calls
                )
                block = any(b.body <= frame.line <= b.last for b in function.blocks)
                if before and (after or block) and not sleeps:
                    found.append(tid)
                    break
        return found


KIND = Database()

"""A C library that sleeps inside a call and tries again: SQLite, while another connection has the file.

The kernel says only that it sleeps; the line says that a statement is executed. In the way is who has a connection to
the same file in a transaction that writes, where that was read while it did what it does; else those that are past such
a line, in a function that executes, and have not yet come to the end of what follows it.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Node, Root, Via
from concview.analysis.blame.world import Look, Waiter
from concview.model import Confidence, Frame, WaitKind

_EXECUTES = frozenset({"execute", "executemany", "executescript", "commit"})


#: Methods that give a block for a transaction: of peewee, Django, SQLAlchemy, diskcache, Pony.
_TRANSACTIONS = frozenset({"atomic", "transaction", "transact", "begin", "begin_nested", "savepoint"})


def _asleep(look: Look) -> bool:
    """Inside C code."""
    return look.wait.kind is WaitKind.SLEEP and look.wait.via == "native"


def _waits(look: Look) -> bool:
    return look.via == "database" or _asleep(look)


def _in_transaction(waiter: Waiter, frame: Frame) -> bool:
    parsed = waiter.world.wakes.uses.file(frame.file)
    found = parsed.function(frame.function, frame.line) if parsed is not None else None
    return found is not None and any(
        b.method in _TRANSACTIONS and b.head.end_line < frame.line <= b.body.end_line for b in found.blocks
    )


class Database:
    order: ClassVar[int] = 30
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        # A line that does not look like a statement may be one: which database it is for is read.
        return look.via == "database" or _asleep(look)

    def follow(self, waiter: Waiter) -> Root | Link | None:
        frame, moment, own = waiter.frame, waiter.moment, waiter.world.main
        told = waiter.world.kernel.database(waiter.tid)
        if told is None and waiter.look.via != "database":
            return None
        what = f"the lock of {told.path.rpartition('/')[2]}" if told is not None else "a database that is locked"
        if told is not None and told.holder not in (0, own):
            who = f"process {told.holder_name or '?'} (pid {told.holder})"
            return waiter.outside(Via.DATABASE, what, Confidence.EXACT, waiter.end(End.PEER, who))
        if told is not None:
            users = list(dict.fromkeys(u.tid for u in told.users if u.tid in moment.runs))
            users = [t for t in users if not _waits(moment.look(t)) and t != waiter.tid]
            if told.holder == own and {u.tid for u in told.users} == {waiter.tid}:
                # One connection waits for another one of the same thread, which cannot go on to end its transaction.
                mine = "this thread has it itself, by another connection, in a transaction that it has not ended"
                return waiter.end(End.CYCLE, f"{what}: {mine}")
            at_ns = waiter.world.kernel.database_ns
            read = len(users) == 1 and at_ns <= moment.at_ns and moment.runs[users[0]].start_ns <= at_ns
            if users and (read or not self._have(waiter)):
                sure = Confidence.EXACT if read else Confidence.INFERRED
                return waiter.link(Via.DATABASE, what, users, sure, key=("database", told.path))
        others = self._have(waiter)
        otherwise = waiter.end(End.UNEXPLAINED, f"{what}: not seen who has it")
        key = ("database", told.path if told is not None else frame.file)
        return waiter.link(Via.DATABASE, what, others, otherwise=otherwise, key=key)

    def _have(self, waiter: Waiter) -> list[Node]:
        have = waiter.moment.once(("database",), lambda: self._past(waiter))
        return [t for t in have if t != waiter.tid]

    @staticmethod
    def _past(waiter: Waiter) -> list[Node]:
        """Those in a function with a statement behind them that do not execute one in vain now."""
        found: list[Node] = []
        moment, world = waiter.moment, waiter.world
        for tid in moment.runs:
            look = moment.look(tid)
            if not _waits(look) and any(_in_transaction(waiter, f) for f in look.own):
                found.append(tid)
                continue
            for frame in look.own:
                function = world.file(frame.file).function_at(frame.function, frame.line)
                if function is None:
                    continue
                here = [c for c in function.calls if c.method in _EXECUTES]
                sleeps = _waits(look) and frame is look.frame and any(c.line == frame.line for c in here)
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

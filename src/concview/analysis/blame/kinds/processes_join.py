"""All that was put into a `multiprocessing.JoinableQueue` to be reported as done, by the processes that take it out.

A process that was killed takes with it what it had taken: nobody reports that as done, and `join` waits for ever.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds.pool_result import STILL
from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.world import Look, Waiter
from concview.model import Role
from concview.source.calls import PROCESSES_JOIN
from concview.text import plural

#: Pids that are told.
_MOST = 4


class ProcessesJoin:
    order: ClassVar[int] = 52
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == PROCESSES_JOIN

    def follow(self, waiter: Waiter) -> Root | Link:
        known = waiter.world.history.workers
        below = [w for w in known.workers if w.role is Role.WORKER] if known is not None else []
        ended = known.ended if known is not None else ()
        what = "all items of a queue between processes to be reported as done"
        still = all(w.cpu_percent >= 0 for w in below) and sum(w.cpu_percent for w in below) < STILL
        if not ended or not still:
            told = f", and {plural(len(below), 'worker')} of this process {_use(len(below))} no CPU"
            return waiter.end(End.CHILD, what + (told if below and still else ""))
        pids = ", ".join(map(str, ended[:_MOST])) + (", ..." if len(ended) > _MOST else "")
        died = f"{plural(len(ended), 'child', 'children')} of this process ended (pid {pids})"
        rest = (
            f"{plural(len(below), 'worker')} that {_live(len(below))} {_use(len(below))} no CPU"
            if below
            else "none is left"
        )
        nobody = waiter.end(End.NOBODY, f"{died}, and {rest}: what was taken by those that ended is reported by nobody")
        return waiter.link(Via.END, what, [], otherwise=nobody)


def _live(number: int) -> str:
    return "lives" if number == 1 else "live"


def _use(number: int) -> str:
    return "uses" if number == 1 else "use"


KIND = ProcessesJoin()

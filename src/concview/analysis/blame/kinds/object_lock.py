"""Builds without a GIL: every object has a lock in its head, which list, dict, set and others take for each operation.

Who has it is not written into it, but each thread links the locks that it has: that is read. Where nobody had it when
that was read, those that were seen to wait for the same object, and run now, are on their way through it or work on it.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.classify import OBJECT_VIA
from concview.model import Confidence, State
from concview.text import with_article

_RUNS = frozenset({State.RUNNING, State.RUNNABLE})


class ObjectLock:
    order: ClassVar[int] = 13
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == OBJECT_VIA

    def follow(self, waiter: Waiter) -> Link:
        kind, address = waiter.wait.lock_kind, waiter.wait.lock
        runs, has_it = waiter.moment.runs, waiter.wait.target
        if has_it in runs:
            # Of one that has not parked yet which object it is, is concluded from what its frame has at hand.
            sure = Confidence.EXACT if waiter.wait.syscall == "futex" else Confidence.INFERRED
            return waiter.link(Via.OBJECT, with_article(kind), [has_it], sure)
        users = waiter.world.seen.waiters.get(address, set()) - waiter.same
        others = sorted(t for t in users if t in runs and runs[t].state in _RUNS)
        otherwise = waiter.end(End.UNEXPLAINED, f"{with_article(kind)}: no thread is seen to work on it")
        return waiter.link(Via.OBJECT, with_article(kind), others, otherwise=otherwise)


KIND = ObjectLock()

"""A result that a process of a `multiprocessing.Pool` makes.

The pool's own thread sets it when it comes, so no thread of this process is on the way to do so. A process that was
killed takes its task with it: the pool starts another one, and the result never comes.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import POOL_RESULTS, among, bare, is_file
from concview.model import Role
from concview.text import plural

_FILES = ("multiprocessing/pool.py", "billiard/pool.py")
#: The pool's own thread, which sets results and runs callbacks.
_HANDS = frozenset({"_handle_results"})
#: Percent of a core, all of them together: with less they do nothing.
STILL = 1.0


class PoolResult:
    order: ClassVar[int] = 58
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via in ("Event.wait", "Condition.wait") and among(look.frame, POOL_RESULTS)

    def follow(self, waiter: Waiter) -> Root:
        if any(bare(f.function) in _HANDS and any(is_file(f, end) for end in _FILES) for f in waiter.look.stack.frames):
            return waiter.end(
                End.CYCLE, "a result of the pool, which only this thread hands over: a callback of the pool waits in it"
            )
        known = waiter.world.history.workers
        below = [w for w in known.workers if w.role is Role.WORKER] if known is not None else []
        what = "the result of a task in another process"
        if below and all(w.cpu_percent >= 0 for w in below) and sum(w.cpu_percent for w in below) < STILL:
            one = len(below) == 1
            what += f", and {plural(len(below), 'worker')} of this one {'uses' if one else 'use'} no CPU"
        return waiter.end(End.CHILD, what)


KIND = PoolResult()

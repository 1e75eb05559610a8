"""A result that a process of a `multiprocessing.Pool` makes.

The pool's own thread sets it when it comes, so no thread of this process is on the way to do so. A process that was
killed takes its task with it: the pool starts another one, and the result never comes.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds.future import at_work
from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.jobs import hands_over
from concview.analysis.known_places import POOL_RESULTS, WORKERS, among, is_file, places
from concview.model import SIGNAL_VIA, Role, Stack
from concview.text import plural

_HANDS_OUT = places(("multiprocessing/pool.py", "_handle_tasks"), ("billiard/pool.py", "body"))
#: Percent of a core, all of them together: with less they do nothing.
STILL = 1.0


class PoolResult:
    order: ClassVar[int] = 58
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via in SIGNAL_VIA and among(look.frame, POOL_RESULTS)

    def follow(self, waiter: Waiter) -> Root | Link:
        if hands_over(waiter.look.stack):
            return waiter.end(
                End.CYCLE, "a result of the pool, which only this thread hands over: a callback of the pool waits in it"
            )
        if not any(hands_over(r.stack) for r in waiter.moment.runs.values()) and _whole(waiter):
            lost = (
                "the pool's own threads are not in this process, as after a fork: nobody takes tasks or brings results"
            )
            nobody = waiter.end(End.NOBODY, lost)
            return waiter.link(Via.RESULT, "the result of a task of a pool", [], otherwise=nobody)
        feeding = [t for t, r in waiter.moment.runs.items() if t != waiter.tid and _asks_for_tasks(r.stack)]
        if feeding:
            # It hands the pool what the program's own iterable yields, which waits: so do the tasks behind.
            return waiter.link(Via.RESULT, "the result of a task that the pool has yet to be given", feeding, told=True)
        # A ThreadPool's workers are threads of this process, and it hands over by one thread of its own.
        moment = waiter.moment
        workers = moment.once(("threads of pools",), lambda: [t for t, r in moment.runs.items() if _works(r.stack)])
        busy = [t for t in workers if at_work(moment.runs[t].stack) and t != waiter.tid]
        known = waiter.world.history.workers
        below = [w for w in known.workers if w.role is Role.WORKER] if known is not None else []
        if busy and (not below or sum(hands_over(r.stack) for r in moment.runs.values()) == 1):
            return waiter.link(Via.RESULT, "the result of a task of its pool", busy, told=True)
        what = "the result of a task in another process"
        if below and all(w.cpu_percent >= 0 for w in below) and sum(w.cpu_percent for w in below) < STILL:
            one = len(below) == 1
            what += f", and {plural(len(below), 'worker')} of this one {'uses' if one else 'use'} no CPU"
        return waiter.end(End.CHILD, what)


def _asks_for_tasks(stack: Stack) -> bool:
    """Whether it is the pool's thread that hands out tasks, inside of code of the program that yields them."""
    at = next((i for i, f in enumerate(stack.frames) if among(f, _HANDS_OUT)), -1)
    return any(f.origin == "user" for f in stack.frames[: max(0, at)])


def _works(stack: Stack) -> bool:
    return any(among(f, WORKERS) and is_file(f, "multiprocessing/pool.py") for f in stack.frames)


def _whole(waiter: Waiter) -> bool:
    """Whether every thread of the process was read from its outermost frame on."""
    return not any(r.stack.truncated or not r.stack.frames for r in waiter.moment.runs.values())


KIND = PoolResult()

"""An item that the task of a pool takes once, out of an empty queue: not in a loop, so it is no consumer without work.

Whoever refers to the queue and will put something in is in the way, unless he has no work himself. Between
interpreters nobody's references are seen: there it is in vain where all threads of the process wait.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds.sleeping import in_task
from concview.analysis.blame.kinds.work import no_work
from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.ties import ties
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import TASKS, among
from concview.model import State, WaitKind

_GETS = frozenset({"Queue.get", "SimpleQueue.get"})
#: Waits that another thread of the process ends.
_FOR_OTHERS = frozenset({*_GETS, "Future.result", "futures.wait", "Thread.join", "work", "atexit"})


class Item:
    order: ClassVar[int] = 40
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via in _GETS and look.state is State.IDLE and in_task(look.stack)

    def follow(self, waiter: Waiter) -> Root | Link | None:
        if not _once(waiter):
            return None
        told, wait = ties(waiter), waiter.wait
        if told is not None:
            makers = [t for t in told.make if t != waiter.tid and t not in waiter.same]
            if not makers:
                return None
            name = told.row.name or "a queue"
            idle = waiter.end(End.IDLE, f"no work: {name} is empty")
            return waiter.link(Via.RESULT, f"an item of {name}", makers, settle=no_work(idle), key=("item", wait.lock))
        if wait.kind is not WaitKind.SLEEP or not all(_waits(waiter, t) for t in waiter.moment.runs):
            return None
        count = len(waiter.moment.runs)
        nobody = waiter.end(End.NOBODY, f"each of the {count} threads of this process waits for what another one gives")
        return waiter.link(Via.RESULT, "an item of a queue between interpreters", [], otherwise=nobody, told=True)


def _once(waiter: Waiter) -> bool:
    """Whether no function from the task on is in a loop there. Not where the source of one is not known."""
    for frame in waiter.look.own:
        if among(frame, TASKS):
            break
        file = waiter.world.file(frame.file)
        loop = file.loop(frame.function, frame.line)
        # Libraries call the tasks of a batch one after the other.
        if file.function_at(frame.function, frame.line) is None or (loop and (loop.endless or frame.origin == "user")):
            return False
    return any(f.origin == "user" for f in waiter.look.own)


def _waits(waiter: Waiter, tid: int) -> bool:
    look = waiter.moment.look(tid)
    return look.via in _FOR_OTHERS and not (look.wait.kind is WaitKind.FUTEX and look.wait.timed)


KIND = Item()

"""A library that looks again and again whether the tasks are done that it was given: joblib's Parallel and its like.

The program has called it and waits for what it returns. Those in the way are workers of a pool that run a task through
code of the very same library.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.attempts import package
from concview.analysis.blame.kinds.future import at_work
from concview.analysis.blame.kinds.polling import lasts
from concview.analysis.blame.nouns import End, Link, Node, Root, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import bare, of_a_library
from concview.model import SIGNAL_VIA, Role, State, WaitKind

#: Functions in which a pool of processes, of the standard library or of who copied it, hands over tasks and results.
_HANDS = frozenset(
    {"wait_result_broken_or_wakeup", "add_call_item_to_queue", "_handle_results", "_handle_tasks", "_handle_workers"}
)


class Asked:
    order: ClassVar[int] = 30
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        sleeps = look.state is State.SLEEP and look.wait.kind is WaitKind.SLEEP and look.wait.via != "native"
        if not sleeps and not (look.via in SIGNAL_VIA and look.wait.timed):
            return False
        return bool(look.own) and look.own[0].origin == "library" and look.own[-1].origin == "user"

    def follow(self, waiter: Waiter) -> Root | Link | None:
        moment, first = waiter.moment, waiter.look.own[0]
        loop = waiter.world.file(first.file).loop(first.function, first.line)
        if loop is None or at_work(waiter.look.stack):
            return None
        library = package(first)
        sleeps = waiter.look.state is State.SLEEP
        busy = moment.once(("tasks of", library), lambda: _busy(waiter, library)) if sleeps else []
        if not busy and loop.test and not any(lasts(name) for name in loop.test):
            # It ends when that is done for which the library has threads of its own.
            busy = moment.once(("threads of", library), lambda: _own_threads(waiter, library))
        what = f"results of {library}"
        if busy:
            # It has asked, so they have something to do, whatever they look like.
            return waiter.link(Via.RESULT, what, busy, told=True)
        known = waiter.world.history.workers
        processes = known is not None and any(w.role is Role.WORKER for w in known.workers)
        if sleeps and processes and any(_manages(waiter, t, library) for t in moment.runs if t != waiter.tid):
            return waiter.end(End.CHILD, f"{what}, from its worker processes")
        return None


def _busy(waiter: Waiter, library: str) -> list[Node]:
    runs = waiter.moment.runs
    return [t for t, r in runs.items() if at_work(r.stack) and _through(waiter, t, library)]


def _manages(waiter: Waiter, tid: Node, library: str) -> bool:
    """Whether it is a thread of that library's by which it hands work to processes and takes results: that there are
    processes below, and threads in its code, says nothing (a server that a program has forked a child beside)."""
    look = waiter.moment.look(tid)
    return _through(waiter, tid, library) and any(bare(f.function) in _HANDS for f in look.stack.frames)


def _own_threads(waiter: Waiter, library: str) -> list[Node]:
    runs, look = waiter.moment.runs, waiter.moment.look
    return [
        t
        for t, r in runs.items()
        if of_a_library(r.stack) and look(t).state not in (State.IDLE, State.SLEEP) and _through(waiter, t, library)
    ]


def _through(waiter: Waiter, tid: Node, library: str) -> bool:
    return any(f.origin == "library" and package(f) == library for f in waiter.moment.look(tid).own)


KIND = Asked()

"""A library that looks again and again whether the tasks are done that it was given: joblib's Parallel and its like.

The program has called it and waits for what it returns. Those in the way are workers of a pool that run a task through
code of the very same library.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.attempts import package
from concview.analysis.blame.kinds.future import at_work
from concview.analysis.blame.nouns import End, Link, Node, Root, Via
from concview.analysis.blame.world import Look, Waiter
from concview.model import Role, State, WaitKind


class Asked:
    order: ClassVar[int] = 30
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        if look.state is not State.SLEEP or look.wait.kind is not WaitKind.SLEEP or look.wait.via == "native":
            return False
        return bool(look.own) and look.own[0].origin == "library" and look.own[-1].origin == "user"

    def follow(self, waiter: Waiter) -> Root | Link | None:
        moment, first = waiter.moment, waiter.look.own[0]
        if waiter.world.file(first.file).loop(first.function, first.line) is None or at_work(waiter.look.stack):
            return None
        library = package(first)
        busy = moment.once(("tasks of", library), lambda: _busy(waiter, library))
        what = f"results of {library}"
        if busy:
            # It has asked, so they have something to do, whatever they look like.
            return waiter.link(Via.RESULT, what, busy, told=True)
        known = waiter.world.history.workers
        processes = known is not None and any(w.role is Role.WORKER for w in known.workers)
        if processes and any(_through(waiter, t, library) for t in moment.runs if t != waiter.tid):
            return waiter.end(End.CHILD, f"{what}, from its worker processes")
        return None


def _busy(waiter: Waiter, library: str) -> list[Node]:
    runs = waiter.moment.runs
    return [t for t, r in runs.items() if at_work(r.stack) and _through(waiter, t, library)]


def _through(waiter: Waiter, tid: Node, library: str) -> bool:
    return any(f.origin == "library" and package(f) == library for f in waiter.moment.look(tid).own)


KIND = Asked()

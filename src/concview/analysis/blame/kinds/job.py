"""The result of another job, waited for by a worker inside a job: celery, huey, dramatiq, dask, ThreadPool.

However it is waited for (a Condition, a read of a broker, a pause before the next look). Where every worker of the pool
waits so, nobody is left to run what they wait for: a circle, where the pool alone could run it; else it depends on
workers elsewhere, of which this process knows nothing.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Node, Root, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.jobs import Library, Role, awaiting, hands_over, job_of
from concview.model import Role as Worker


class Job:
    order: ClassVar[int] = 15
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return awaiting(look.stack) is not None

    def follow(self, waiter: Waiter) -> Root | Link | None:
        library = awaiting(waiter.look.stack)
        if library is None:
            return None
        runs, moment = waiter.moment.runs, waiter.moment
        roles = {t: role for t, r in runs.items() if (role := job_of(r.stack, library)) is not None}
        what = f"the result of another {library.name} {'task' if library.here else 'job'}"
        busy = moment.once(("job", library.name, "busy"), lambda: [t for t, r in roles.items() if r is Role.BUSY])
        free = any(r is Role.FREE for r in roles.values())
        waiting: list[Node] = [t for t, r in roles.items() if r is Role.AWAITS]
        if library.here and not _one_pool(waiter):
            return None
        if busy:
            return waiter.link(Via.RESULT, what, [t for t in busy if t != waiter.tid])
        if free:
            # The worker has just finished it, or is about to take it.
            return waiter.end(End.PEER, what)
        if library.here:
            return waiter.end(End.CYCLE, _nobody(library, waiting))
        return waiter.end(End.PEER, f"{what}, from inside a job, and {_left(waiting)}")


def _one_pool(waiter: Waiter) -> bool:
    """Whether it is told which pool's result it is: there is one pool, or there are several and none of processes. A
    process of a pool that was forked with another one has none."""
    pools = sum(hands_over(r.stack) for r in waiter.moment.runs.values())
    known = waiter.world.history.workers
    return pools == 1 or (pools > 1 and (known is None or not any(w.role is Worker.WORKER for w in known.workers)))


def _left(waiting: list[Node]) -> str:
    if len(waiting) == 1:
        return "the only worker of this process waits so: it takes a second one"
    return f"all {len(waiting)} workers of this process wait so: it takes another one"


def _nobody(library: Library, waiting: list[Node]) -> str:
    if len(waiting) == 1:
        return f"the only worker of a {library.name} waits for the result of a task that no worker is left to run"
    return f"all {len(waiting)} workers of a {library.name} wait for results of tasks that no worker is left to run"


KIND = Job()

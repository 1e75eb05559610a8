"""A thread that runs an event loop until one of its tasks ends: `asyncio.run`, `loop.run_until_complete`.

It is idle while its tasks wait. Who waits for that thread, for a lock that it keeps meanwhile or for its end, waits for
that task.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, cast

from concview.analysis.blame.nouns import End, Link, Node, Via
from concview.analysis.blame.tasks.names import node_of, task_name
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import among, places
from concview.model import State

#: Source: CPython 3.8 to 3.15, uvloop 0.14 to 0.23 (whose own run_until_complete is in C).
_RUNS_UNTIL = places(
    ("asyncio/base_events.py", "run_until_complete"),
    ("asyncio/runners.py", "run"),
    ("uvloop/__init__.py", "run"),
)


class Until:
    order: ClassVar[int] = 40
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.state is State.IDLE and any(among(f, _RUNS_UNTIL) for f in look.stack.frames)

    def follow(self, waiter: Waiter) -> Link | None:
        """None where it has no task that nobody waits for."""
        loop = next((s.id for s in waiter.world.history.aio.loops if s.tid == waiter.tid), 0)
        known = cast("dict[int, Node]", waiter.world.remembered("until", dict))
        root = known.get(loop, 0)
        if root not in waiter.moment.tasks.runs:
            root = known[loop] = _root(waiter, loop)
        if not root:
            return None
        link = waiter.link(Via.RESULT, f"the end of {task_name(waiter.world, root)}", [root], told=True)
        return replace(link, alone=waiter.end(End.IDLE, waiter.look.reason))


def _root(waiter: Waiter, loop: int) -> Node:
    """Of the tasks of a loop that nobody waits for the oldest: what a loop is run for is made first, if it is not one
    that runs again and again. 0: there is none."""
    tasks = waiter.moment.tasks
    awaited = {t for run in tasks.runs.values() for t in run.awaits}
    every = (tasks.task(n) for n in tasks.runs if -n not in awaited)
    roots = [t for t in every if t is not None and t.loop == loop and t.kind == "task"]
    return node_of(min(roots, key=lambda t: (t.born_ns, t.id)).id) if roots and loop else 0


KIND = Until()

"""A thread that runs an event loop until one of its tasks ends: `asyncio.run`, `loop.run_until_complete`.

It is idle while its tasks wait. Who waits for that thread, for a lock that it keeps meanwhile or for its end, waits for
that task.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import ClassVar, cast

from concview.analysis.blame.nouns import End, Link, Node, Via
from concview.analysis.blame.tasks.names import node_of, task_name
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import among, places
from concview.analysis.tasks.records import TaskHistory
from concview.model import State, WaitKind

#: Source: CPython 3.8 to 3.15, uvloop 0.14 to 0.23 (whose own run_until_complete is in C).
_RUNS_UNTIL = places(
    ("asyncio/base_events.py", "run_until_complete"),
    ("asyncio/runners.py", "run"),
    ("uvloop/__init__.py", "run"),
)
#: How often it is looked for anew: at first not all tasks are known. Loops of which it is remembered.
_AGAIN_NS, _LOOPS = 2_000_000_000, 64
#: The name that asyncio gives to a task which has none.
_COUNTED = re.compile(r"Task-(\d{1,15})", re.ASCII)


class Until:
    order: ClassVar[int] = 40
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        # A loop waits for events, never at a futex: there one of its callbacks waits, for others than its tasks.
        if look.state is not State.IDLE or look.wait.kind is WaitKind.FUTEX:
            return False
        return any(among(f, _RUNS_UNTIL) for f in look.stack.frames)

    def follow(self, waiter: Waiter) -> Link | None:
        """None where it has no task that nobody waits for."""
        loop = next((s.id for s in waiter.world.history.aio.loops if s.tid == waiter.tid), 0)
        now = waiter.moment.at_ns
        known = cast("dict[int, tuple[Node, int]]", waiter.world.remembered("until", dict))
        root, at = known.get(loop, (0, 0))
        if (root and root not in waiter.moment.tasks.runs) or not 0 <= now - at < _AGAIN_NS:
            if len(known) >= _LOOPS:
                known.clear()
            root = _root(waiter, loop) if loop else 0
            known[loop] = root, now
        if not root:
            return None
        link = waiter.link(Via.RESULT, f"the end of {task_name(waiter.world, root)}", [root], told=True)
        return replace(link, alone=waiter.end(End.IDLE, waiter.look.reason))


def _root(waiter: Waiter, loop: int) -> Node:
    """Of the tasks of a loop that nobody waits for the oldest: what a loop is run for is made first, if it is not one
    that runs again and again. Of those that were there before anybody looked the names tell which came first: asyncio
    counts. 0: there is none, or it cannot be told."""
    tasks = waiter.moment.tasks
    awaited = {t for run in tasks.runs.values() for t in run.awaits}
    every = (tasks.task(n) for n in tasks.runs if -n not in awaited)
    roots = [t for t in every if t is not None and t.loop == loop and t.kind == "task"]
    roots.sort(key=_order)
    if len(roots) > 1 and _order(roots[0]) == _order(roots[1]):
        return 0
    return node_of(roots[0].id) if roots else 0


def _order(task: TaskHistory) -> tuple[int, float]:
    counted = _COUNTED.fullmatch(task.name)
    return task.born_ns, float(counted[1]) if counted else math.inf


KIND = Until()

"""trio's tasks, looked at whole a few times a second, and told as asyncio's are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concview.cpython.aio.loops import Loop
from concview.cpython.aio.trio import Trio, TrioTask
from concview.cpython.aio.values import BAD
from concview.cpython.threads import Thread
from concview.engines.direct.tasks.records import Task
from concview.model import Outcome, TaskState

if TYPE_CHECKING:
    from concview.engines.direct.tasks.tracker import TaskTracker

#: A look costs by the task that has moved: it is followed by a pause so many times as long, and at least this one
#: (nanoseconds). Who reads more of the tasks needs them as they are now, and may ask earlier.
_PAUSE, _ASKED_PAUSE, _LEAST_NS = 30, 20, 100_000_000
#: What a first look counts at most.
_FIRST_NS = 15_000_000


class TrioTasks:
    def __init__(self, tracker: TaskTracker, trio: Trio) -> None:
        self._tracker, self._trio = tracker, trio
        self._due_ns = self._asked_ns = 0
        self._filled: set[int] = set()  #: runners whose tasks of the first look are known

    @property
    def any(self) -> bool:
        return bool(self._trio.runners)

    def look_for(self, now: int, threads: list[Thread]) -> None:
        self._trio.look_for(threads)
        loops = self._tracker.loops.known
        for loop in loops.values():
            if loop.kind == "trio" and loop.address not in self._trio.runners:
                loop.tid = 0
        for runner, tid in self._trio.runners.items():
            known = loops.get(runner)
            if known is None:
                known = loops[runner] = Loop(runner, "trio", seen_ns=now)
            known.tid, known.ready_at = tid, self._trio.ready_queue(runner)

    def poll(self, now: int, clock: int) -> int:
        """`clock`: CPU time of ours in nanoseconds before; how many were torn."""
        if now < self._due_ns:
            return 0
        torn, first = 0, False
        for runner, tid in list(self._trio.runners.items()):
            try:
                found, there, bad = self._trio.read(runner)
            except BAD:
                continue
            torn += bad
            for task in [t for t in self._tracker.tasks.values() if t.loop == runner and t.address not in there]:
                self._tracker.end(now, task, Outcome.NOT_SEEN)
            for seen in found:
                self._accept(now, seen, runner, tid)
            first = first or runner not in self._filled
            self._filled.add(runner)
        # The first look at a program reads all its code, too.
        spent = self._tracker.spent(clock)
        spent = min(spent, _FIRST_NS) if first else spent
        self._due_ns = now + max(_LEAST_NS, _PAUSE * spent)
        self._asked_ns = now + max(_LEAST_NS, _ASKED_PAUSE * spent)
        return torn

    def ask(self, now: int) -> None:
        """The next `poll` shall look, if that is not too much."""
        if now >= self._asked_ns:
            self._due_ns = 0

    def _accept(self, now: int, seen: TrioTask, runner: int, tid: int) -> None:
        tracker = self._tracker
        task = tracker.tasks.get(seen.address)
        if task is not None and task.links is seen.links and task.waiting is seen.waiting:
            return  # it stands where it stood
        if task is not None and (task.name != seen.name or task.loop != runner):
            tracker.end(now, task, Outcome.NOT_SEEN)
            task = None
        if task is None:
            task = Task(seen.address, 0, now if runner in self._filled else 0)
            task.kind, task.parent = "trio", seen.nursery
            tracker.begin(task, seen.name)
        old = task.waiting
        same = old is not None and (old.state, old.via, old.object) == (
            seen.waiting.state,
            seen.waiting.via,
            seen.waiting.object,
        )
        same = same and task.steps == seen.turns
        task.steps, task.mark = seen.turns, seen.mark
        if not same or [k.place for k in task.links] != [k.place for k in seen.links]:
            task.since_ns = now if old is not None else task.born_ns
        task.name, task.loop, task.links, task.held, task.waiting = (
            seen.name, runner, seen.links, seen.held, seen.waiting,
        )  # fmt: skip
        task.held += tracker.sites.inferred(seen.links, seen.held)
        if seen.waiting.state is TaskState.LOCK and seen.waiting.via == "Condition.wait":
            tracker.give_up(task, seen.waiting.object)
        tracker.telling.anew(task)

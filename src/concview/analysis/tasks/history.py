"""The stream's account of tasks, kept: who did what in the last while, in memory that does not grow.

As `analysis.history` does for threads: a list of runs for each task, the reports of loops and of what tasks share, and
once a second how many tasks of each coroutine function live and have ended.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Protocol

import msgspec

from concview.analysis.records import TaskCounts
from concview.analysis.tasks.records import (
    NO_TASK_WAIT,
    Keyframe,
    ObjectsReport,
    SharedObject,
    TaskHistory,
    TaskKey,
    TaskRun,
)
from concview.model import (
    NO_STACK,
    AsyncObjects,
    Frame,
    Hold,
    Loops,
    LoopState,
    Outcome,
    Stack,
    TaskDef,
    TasksGone,
    TaskState,
    TaskTick,
    TaskWait,
)

#: Runs and reports are kept this long, and so many runs of all tasks together: with more, for a shorter time.
KEPT_NS, MAX_RUNS = 20_000_000_000, 200_000
#: Tasks that are followed; of more, only their number is known.
MAX_TASKS = 20_000
#: Tasks that ended are kept this long, and no more than so many.
GONE_NS, MAX_GONE = 20_000_000_000, 5_000
#: Tasks are counted by function so often; reports of ten minutes are kept, each with so many functions.
COUNT_NS, COUNTS, MAX_FUNCTIONS = 1_000_000_000, 600, 500
_OUTCOMES = frozenset(map(int, Outcome))
_FUNCTION = tuple[str, int, str]


class Resolved(Protocol):
    """Ids of the stream, resolved."""

    frames: dict[int, Frame]
    stacks: dict[int, Stack]
    holds: dict[int, tuple[Hold, ...]]
    task_waits: dict[int, TaskWait]


class TaskHistories:
    """Applies events. Not thread-safe: the session locks."""

    def __init__(self) -> None:
        self.tasks: dict[int, TaskHistory] = {}  #: living ones
        self.gone: deque[TaskHistory] = deque(maxlen=MAX_GONE)
        self.reports: deque[Loops] = deque()  #: of the last while, oldest first
        self.objects: deque[ObjectsReport] = deque()
        self._counts: deque[tuple[TaskCounts, Counter[_FUNCTION]]] = deque(maxlen=COUNTS)
        self.more = 0  #: living tasks that are not followed
        self.alive = 0  #: known to be alive, as the last look told
        self.torn = self.unseen = 0  #: of the last look
        self.first_ns = 0  #: of the first look
        self.now_ns = 0  #: of the last one
        self.detail_ns = 0  #: runs that ended before are not kept
        self._ended_of: TaskHistory | None = None
        self._ended_by_id: dict[int, TaskHistory] = {}
        self._left_out: set[int] = set()
        self._living: Counter[_FUNCTION] = Counter()
        self._before: Counter[_FUNCTION] = Counter()  #: tasks that were there before the first look, found so far
        self._before_told = self._before  #: the same as it was last kept beside a count
        self._ended: Counter[_FUNCTION] = Counter()
        self._counted_ns = 0

    # ------------------------------------------------------------ questions

    @property
    def loops(self) -> tuple[LoopState, ...]:
        return self.reports[-1].loops if self.reports else ()

    @property
    def report(self) -> Loops | None:
        return self.reports[-1] if self.reports else None

    @property
    def counts(self) -> list[TaskCounts]:
        """Once a second: tasks of each coroutine function, alive and ended since. To find all that were there before
        the first look takes a while: they count from the beginning, as if they had been found at once."""
        found: list[TaskCounts] = []
        for told, then in self._counts:
            if then is not self._before and then != self._before:
                late = {k: n - then[k] for k, n in self._before.items() if n != then[k]}
                rows = {k: (alive + late.pop(k, 0), ended) for k, (alive, ended) in told.counts.items()}
                told = TaskCounts(told.at_ns, rows | {k: (n, 0) for k, n in late.items()})
            found.append(told)
        return found

    @property
    def any(self) -> bool:
        """Whether there is a loop or a task, seen or not."""
        return bool(self.tasks or self.loops or (self.report is not None and (self.report.why or self.report.unseen)))

    def every(self, start_ns: int) -> Iterator[TaskHistory]:
        """Living tasks, and those that ended after that moment."""
        yield from self.tasks.values()
        for task in self.gone:
            if task.gone_ns > start_ns:
                yield task

    def find(self, id_: int) -> TaskHistory | None:
        """A living task, or one that ended a while ago."""
        task = self.tasks.get(id_)
        if task is None and self.gone:
            if self._ended_of is not self.gone[-1]:
                self._ended_of, self._ended_by_id = self.gone[-1], {t.id: t for t in self.gone}
            task = self._ended_by_id.get(id_)
        return task

    def object(self, id_: int) -> SharedObject | None:
        return self.objects[-1].objects.get(id_) if self.objects else None

    @property
    def reported_ns(self) -> int:
        """When objects were last reported; 0 never."""
        return self.objects[-1].at_ns if self.objects else 0

    # ------------------------------------------------------------ events

    def define(self, event: TaskDef, tables: Resolved, now_ns: int) -> None:
        task = self.tasks.get(event.id)
        if task is None:
            if len(self.tasks) >= MAX_TASKS:
                self._left_out.add(event.id)
                self.more = len(self._left_out)
                return
            task = self.tasks[event.id] = TaskHistory(event.id, event.name, now_ns)
        elif task.function is not None:
            self._counted(task, -1)
        task.name, task.kind, task.loop, task.parent = event.name, event.kind, event.loop, event.parent
        task.serves, task.interpreter, task.born_ns = event.serves, event.interpreter, event.born_ns
        task.function = tables.frames.get(event.function, task.function)
        if task.function is not None:
            self._counted(task, 1)

    def _counted(self, task: TaskHistory, change: int) -> None:
        assert task.function is not None
        key = _key(task.function)
        self._living[key] += change
        if not task.born_ns:
            if self._before is self._before_told:
                self._before = Counter(self._before)
            self._before[key] += change

    def tick(self, event: TaskTick, tables: Resolved) -> None:
        at = event.at_ns
        start = at - event.dt_ns
        if not self.first_ns:
            self.first_ns = start or at
        awaits = _awaits(event.awaits)
        changes = event.changes
        for i in range(0, len(changes) - 5, 6):
            task = self.tasks.get(changes[i])
            if task is None:
                continue
            wait = tables.task_waits.get(changes[i + 2], NO_TASK_WAIT)
            if wait.state is not TaskState.TASK:
                task.awaits, task.awaited = (), 0
            if changes[i] in awaits:
                task.awaited, task.awaits = awaits.pop(changes[i])
            self._change(
                task,
                start,
                tables.stacks.get(changes[i + 1], NO_STACK),
                wait,
                tables.holds.get(changes[i + 3], ()),
                changes[i + 4],
                changes[i + 5],
            )
        for id_, (awaited, ids) in awaits.items():
            task = self.tasks.get(id_)
            if task is not None:
                task.awaited, task.awaits = awaited, ids
                run = task.current
                if run is not None and (run.awaits, run.awaited) != (ids, awaited):
                    self._change(task, start, run.stack, run.wait, run.holds, run.since_ns, run.due_ns)
        self.now_ns = at
        self.alive, self.torn, self.unseen = event.alive, event.torn, event.unseen

    def _change(
        self, task: TaskHistory, start: int, stack: Stack, wait: TaskWait, holds: tuple[Hold, ...], since: int, due: int
    ) -> None:
        run = task.current
        if (
            run is not None
            and run.stack is stack
            and run.wait == wait
            and run.holds == holds
            and (run.awaits, run.awaited) == (task.awaits, task.awaited)
        ):
            if since != run.since_ns:  # another wait at the same place
                run.waits += 1
                run.since_ns = since
            run.due_ns = due
            return
        begin = start if run is None else max(start, run.start_ns)
        if run is not None:
            run.end_ns = begin
        task.current = TaskRun(
            begin,
            stack,
            wait,
            holds,
            since,
            due,
            awaits=task.awaits,
            awaited=task.awaited,
            waits=1 if run is None or run.wait != wait or since != run.since_ns else 0,
        )
        task.runs.append(task.current)

    def end(self, event: TasksGone) -> None:
        for id_, outcome in zip(event.tasks[::2], event.tasks[1::2], strict=False):
            task = self.tasks.pop(id_, None)
            if task is None:
                self._left_out.discard(id_)
                self.more = len(self._left_out)
                continue
            task.gone_ns = event.at_ns or 1
            task.outcome = Outcome(outcome) if outcome in _OUTCOMES else Outcome.NOT_SEEN
            if task.current is not None:
                task.current.end_ns = max(event.at_ns, task.current.start_ns)
                task.current = None
            self.gone.append(task)
            if task.function is not None:
                key = _key(task.function)
                self._living[key] -= 1
                self._ended[key] += 1

    def report_loops(self, event: Loops) -> None:
        self.reports.append(event)
        while self.reports[0].at_ns < event.at_ns - KEPT_NS:
            self.reports.popleft()
        self._prune(event.at_ns)
        if event.at_ns - self._counted_ns >= COUNT_NS:
            self._counted_ns = event.at_ns
            self._living = +self._living
            most = self._living.most_common(MAX_FUNCTIONS)
            self._before_told = self._before
            self._counts.append((TaskCounts(event.at_ns, {k: (n, self._ended[k]) for k, n in most}), self._before))
            self._ended.clear()

    def report_objects(self, event: AsyncObjects, tables: Resolved) -> None:
        told = {o.id: SharedObject(o, tables.frames.get(o.where)) for o in event.objects}
        self.objects.append(ObjectsReport(event.at_ns, told, event.more))
        while self.objects[0].at_ns < event.at_ns - KEPT_NS:
            self.objects.popleft()

    def _prune(self, now_ns: int) -> None:
        horizon = now_ns - KEPT_NS
        while self.gone and self.gone[0].gone_ns < now_ns - GONE_NS:
            self.gone.popleft()
        kept = 0
        for task in self.tasks.values():
            runs = task.runs
            while runs and 0 < runs[0].end_ns < horizon:
                runs.popleft()
            kept += len(runs)
        kept += sum(len(task.runs) for task in self.gone)
        if kept > MAX_RUNS:
            oldest = max(horizon, self.detail_ns, self.first_ns)
            horizon = now_ns - int((now_ns - oldest) * MAX_RUNS / kept)
            for task in [*self.tasks.values(), *self.gone]:
                runs = task.runs
                while runs and 0 < runs[0].end_ns < horizon:
                    runs.popleft()
        self.detail_ns = max(self.detail_ns, horizon)

    # ------------------------------------------------------------ looking back

    def keyframe(self, before: Keyframe) -> Keyframe:
        """What it takes to go on from now; what is as it was in `before` is taken from there."""
        known = {key.id: key for key in before.tasks}
        keys: list[TaskKey] = []
        for task in self.tasks.values():
            key = known.get(task.id)
            if key is None or key.run is not task.current or key.name != task.name or key.function != task.function:
                key = TaskKey(
                    task.id, task.name, task.kind, task.function, task.loop, task.parent, task.serves,
                    task.interpreter, task.born_ns, task.seen_ns, task.current,
                )  # fmt: skip
            keys.append(key)
        same = len(keys) == len(before.tasks) and all(a is b for a, b in zip(keys, before.tasks, strict=True))
        return Keyframe(
            before.tasks if same else tuple(keys),
            self.report,
            self.objects[-1] if self.objects else None,
            self.more,
        )

    def resume(self, frame: Keyframe, at_ns: int) -> None:
        """Go on from there."""
        for key in frame.tasks:
            task = self.tasks[key.id] = TaskHistory(key.id, key.name, key.seen_ns)
            task.kind, task.function, task.loop, task.parent = key.kind, key.function, key.loop, key.parent
            task.serves, task.interpreter, task.born_ns = key.serves, key.interpreter, key.born_ns
            run = key.run
            if run is not None:
                since = run.since_ns if run.since_ns <= at_ns else run.start_ns  # it has waited anew since then
                task.current = msgspec.structs.replace(run, end_ns=0, since_ns=since)
                task.awaits, task.awaited = run.awaits, run.awaited
                task.runs.append(task.current)
            if key.function is not None:
                self._living[_key(key.function)] += 1
        if frame.loops is not None:
            self.reports.append(frame.loops)
        if frame.objects is not None:
            self.objects.append(frame.objects)
        self.more, self.alive = frame.more, len(self.tasks) + frame.more
        self.first_ns = self.now_ns = self.detail_ns = at_ns if frame.tasks or frame.loops is not None else 0


def _key(function: Frame) -> _FUNCTION:
    return function.file, function.line, function.function


def _awaits(flat: tuple[int, ...]) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Task id -> (how many it waits for in all, ids of those that are known)."""
    found: dict[int, tuple[int, tuple[int, ...]]] = {}
    at = 0
    while at + 2 < len(flat):
        count = max(0, flat[at + 2])
        found[flat[at]] = flat[at + 1], tuple(flat[at + 3 : at + 3 + count])
        at += 3 + count
    return found

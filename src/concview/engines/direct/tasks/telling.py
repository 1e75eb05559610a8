"""What is known of tasks as events: TaskDef, TaskTick and TasksGone, of those that are not as they were last told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from concview.cpython.aio.roles import wraps
from concview.cpython.memory import BadAddress
from concview.engines.direct.tasks.records import NO_THREAD, Calls, Row, Task
from concview.model import IN_PROCESSES, MOST_AWAITED, Outcome, TaskDef, TasksGone, TaskState, TaskTick, TaskWait
from concview.sink import Sink
from concview.text import clean

if TYPE_CHECKING:
    from concview.engines.direct.tasks.tracker import TaskTracker

#: Intervals in nanoseconds: what changes without the loop taking part; looks without news told together.
CHANGING_NS, QUIET_NS = 100_000_000, 1_000_000_000


class Telling:
    def __init__(self, tracker: TaskTracker, sink: Sink, calls: Calls, outer: Callable[[int], int]) -> None:
        """`outer`: as the tracker's."""
        self._tracker, self._sink, self.calls, self._outer = tracker, sink, calls, outer
        self._values = tracker.values
        self._generation = sink.generation
        self._numbered: dict[int, int] = {}  #: interpreter -> its id
        self._touched: dict[int, Task] = {}  #: may have another row than was told
        self._changing: dict[int, Task] = {}
        self._changing_at = 0
        self._population = -1  #: tasks begun and ended when awaited ones were last looked through
        self._gone: list[int] = []  #: ids and outcomes of tasks that ended, not told yet
        self._quiet_ns = 0  #: the last look that found nothing, not told yet
        self._told_ns = 0  #: moment of the last tick told

    @property
    def void(self) -> bool:
        """Whether the sink has forgotten the ids that it gave."""
        return self._sink.generation != self._generation

    def renew(self) -> None:
        self._generation = self._sink.generation

    def touch(self, task: Task, changes: bool | None = None) -> None:
        """It may have another row than was told. `changes`: whether what it waits for does so though its own task does
        not run; None: as before."""
        self._touched[task.address] = task
        if changes:
            self._changing[task.address] = task
        elif changes is not None:
            self._changing.pop(task.address, None)

    def anew(self, task: Task) -> None:
        """It is not as it was."""
        self.describe(task)
        self.touch(task)

    def ended(self, task: Task, outcome: Outcome) -> None:
        self.gone(task.id, outcome)
        self._touched.pop(task.address, None)
        self._changing.pop(task.address, None)

    def gone(self, id_: int, outcome: Outcome) -> None:
        self._gone += (id_, int(outcome))

    def describe(self, task: Task, truncated: bool = False) -> None:
        """Ids of what it does, in the sink's present generation."""
        sink, waiting = self._sink, task.waiting
        if waiting is None:
            return
        if task.generation != self._generation:
            self._announce(task)
        running = self._tracker.running
        places = [link.place for link in task.links]
        runs = waiting.state is TaskState.RUNNING
        task.stack = 0 if runs else sink.stack(tuple([p.frame_id for p in reversed(places)]), truncated)
        # Before the rest: it may say more of the wait.
        tid = self._tid(task, waiting.call) if waiting.call else waiting.thread or running.get(task.address, 0)
        task.wait = sink.task_wait(
            TaskWait(
                waiting.state,
                clean(waiting.via),
                waiting.object,
                clean(waiting.kind),
                waiting.peer,
                tid,
                waiting.queued,
                self._tracker.sites.wanted(task.links) if waiting.state is TaskState.LOCK and waiting.object else "",
            )
        )
        holds = self._tracker.sites.holds(task.held) if task.held else ()
        task.holds = sink.holds(holds) if holds else 0

    def _tid(self, task: Task, call: int) -> int:
        """Tid of the thread that runs a call; sets whether it is still queued."""
        waiting = task.waiting
        if waiting is not None and waiting.thread:
            return waiting.thread  # who runs a call does so to its end
        tid = self._tracker.reporter.calls.get(call, 0)
        if tid == NO_THREAD:
            if waiting is not None:
                waiting.kind, waiting.queued = IN_PROCESSES, False
            return 0
        if not tid and self._values.is_a(call, "Thread"):  # anyio's worker
            tid = self._outer(self._values.integer(self._values.attribute(call, "_native_id"), 0))
        if waiting is not None:
            waiting.thread = tid
            waiting.queued = not tid and self._tracker.waits.call_state(call) == "PENDING"
        return tid

    def _announce(self, task: Task) -> None:
        task.generation = self._generation
        function = 0
        if task.links:
            codes = [link.place.code for link in task.links[:4]]
            inner = next((c for c in codes if not wraps(c.file, c.qualname)), None)
            code = inner or codes[0]
            if inner is None and task.kind == "task":
                task.generation = -1  # not started yet: told again with the function it is for
            function = self._sink.frame(code.qualname, code.file, code.first_line)
        self._sink.emit(
            TaskDef(
                task.id,
                clean(task.name),
                function,
                task.loop,
                task.born_ns,
                task.kind,
                task.parent,
                self.number(task.interpreter),
                task.serves,
            )
        )

    def number(self, interpreter: int) -> int:
        """Id of an interpreter."""
        known = self._numbered.get(interpreter)
        if known is None:
            known = 0
            with contextlib.suppress(BadAddress):
                known = self._values.memory.word(interpreter + self._values.o["is.id"]) if interpreter else 0
            self._numbered[interpreter] = known = known if known < 1 << 31 else 0
        return known

    def changing(self, now: int) -> None:
        """Waits that change though their own task does not run: calls are taken up, awaited tasks end."""
        if now < self._changing_at or not self._changing:
            return
        self._changing_at = now + CHANGING_NS
        if any(t.waiting is not None and t.waiting.call for t in self._changing.values()):
            self._tracker.reporter.calls = self.calls.running()
        totals = self._tracker.totals
        population = totals.seen + totals.ended
        same, self._population = population == self._population, population
        tasks = self._tracker.tasks
        for task in list(self._changing.values()):
            waiting = task.waiting
            if waiting is not None and waiting.call:
                if waiting.thread:
                    continue
                self.describe(task)
            elif waiting is not None and waiting.awaited and not any(a in tasks for a in waiting.awaited):
                self._tracker.doubt(task)  # it waits for others by now, by a future in the same memory
            elif same:
                continue  # nobody came or went
            self._touched[task.address] = task

    def _changes(self) -> tuple[list[int], list[int]]:
        """Rows, and tasks awaited, of those that changed since they were last told."""
        rows: list[int] = []
        awaits: list[int] = []
        for task in self._touched.values():
            waiting = task.waiting
            if waiting is None or not task.alive:
                continue
            due = int(waiting.due_s * 1e9)
            if not due and task.until_ns and task.looked == (task.future, task.since_ns):
                due = task.until_ns
            row: Row = (task.id, task.stack, task.wait, task.holds, task.since_ns, due)
            if row != task.row:
                task.row = row
                rows += row
                if waiting.state is not TaskState.TASK:
                    task.told_awaits = ()  # such a row says that it waits for none
            awaited, total = waiting.awaited, waiting.total
            if waiting.state is TaskState.IO:
                awaited = list(self._tracker.connections.at(task))
                total = len(awaited)
            if awaited or task.told_awaits:
                tasks = self._tracker.tasks
                ids = [t.id for a in awaited if (t := tasks.get(a)) is not None]
                others = total - len(awaited)
                if len(ids) < len(awaited):  # not known yet, or ended: told when that changes
                    self._changing[task.address] = task
                told = (len(ids) + max(0, others), *ids[:MOST_AWAITED])
                if told != task.told_awaits:
                    task.told_awaits = told if told[0] else ()
                    awaits += (task.id, told[0], len(told) - 1, *told[1:])
        if self._touched:
            self._tracker.version += 1
        self._touched.clear()
        return rows, awaits

    def tell(self, now: int, torn: int, unseen: int) -> None:
        """One TaskTick, where there is news; looks without any are told together, before it."""
        rows, awaits = self._changes()
        sink, last = self._sink, self._told_ns or now
        news = bool(rows or awaits or self._gone or torn or unseen)
        if not news and now - last < QUIET_NS:
            self._quiet_ns = now
            return
        if self._quiet_ns > last and news:
            sink.emit(TaskTick(self._quiet_ns, self._quiet_ns - last, alive=len(self._tracker.tasks)))
            last = self._quiet_ns
        self._quiet_ns, self._told_ns = 0, now
        sink.emit(TaskTick(now, now - last, tuple(rows), tuple(awaits), len(self._tracker.tasks), torn, unseen))
        if self._gone:
            sink.emit(TasksGone(now, tuple(self._gone)))
            self._gone.clear()

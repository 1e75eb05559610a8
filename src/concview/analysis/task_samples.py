"""Samples of tasks, in the shape of those of threads: whatever reads `Samples` reads these.

A task stands where a thread stands, its await chain where the stack does. The state is the task's own ('pool',
'executor', ...) and `Activity.state` the thread state that is nearest to it, for colours and order. Who holds what a
task waits for is its blocker. Tasks without a name of their own have their coroutine function's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from concview import codec
from concview.analysis.classify import Classification
from concview.analysis.samples import Activity, Blocker, LockName, SampledThread, Samples, Selection
from concview.analysis.work import IN_NOBODYS_NAME
from concview.model import (
    NO_STACK,
    NO_WAIT,
    TASK_STATES,
    AnyEvent,
    AsyncObjects,
    Confidence,
    Forget,
    FrameDef,
    Hold,
    HoldsDef,
    LabelDef,
    Notice,
    Stack,
    StackDef,
    State,
    Stats,
    TaskDef,
    TasksGone,
    TaskState,
    TaskTick,
    TaskWait,
    TaskWaitDef,
    ThreadDef,
    ThreadGone,
    Tick,
    Wait,
    WaitDef,
    WaitKind,
    Work,
)

#: The thread state that is nearest to a task's.
NEAREST: dict[TaskState, State] = {
    TaskState.RUNNING: State.RUNNING, TaskState.READY: State.RUNNABLE, TaskState.LOCK: State.LOCK,
    TaskState.QUEUE: State.LOCK, TaskState.POOL: State.LOCK, TaskState.SLEEP: State.SLEEP, TaskState.IO: State.IO,
    TaskState.EXECUTOR: State.LOCK, TaskState.TASK: State.LOCK, TaskState.IDLE: State.IDLE,
    TaskState.UNKNOWN: State.UNKNOWN,
}  # fmt: skip
_DEFAULT_NAME = re.compile(r"Task-\d+$")
_SHARED = frozenset({TaskState.LOCK, TaskState.QUEUE, TaskState.POOL})
_NOTHING = TaskWait(TaskState.UNKNOWN)
WANTED = (
    FrameDef, StackDef, HoldsDef, TaskDef, TaskWaitDef, TaskTick, TasksGone, AsyncObjects, Forget, Notice, Stats,
    LabelDef, Work,
)  # fmt: skip
_lean: list[object] = []


def read(source: codec.Readable, of: int = 0) -> Iterable[list[AnyEvent]]:
    """As `samples.read`, with the events that tell of tasks."""
    if not _lean:
        _lean.append(codec.lean_decoder(WANTED))
    return codec.read_blocks(source, _lean[0], of)  # type: ignore[arg-type]


class TaskSamples(Samples):
    """Iterate once. `Selection.states` are numbers of task states."""

    whose = "task"

    def __init__(
        self, blocks: Iterable[list[AnyEvent]], selection: Selection | None = None, side: str = "waiter"
    ) -> None:
        super().__init__(blocks, selection, side)
        self._task_waits: dict[int, TaskWait] = {}
        self._functions: dict[SampledThread, Stack] = {}

    def _apply(self, event: AnyEvent) -> None:
        if isinstance(event, TaskTick):
            self._look(event)
        elif isinstance(event, TaskDef):
            self._define(event)
        elif isinstance(event, TaskWaitDef):
            self._task_waits[event.id] = event.wait
        elif isinstance(event, TasksGone):
            for id_ in event.tasks[::2]:
                task = self._alive.pop(id_, None)
                if task is not None:
                    task.gone_ns = max(event.at_ns, task.since_ns)
                    joined = dict(task.blocks)
                    self._change(task, task.gone_ns, None)
                    self._settle(self.last_ns, joined)
        elif isinstance(event, AsyncObjects):
            for each in event.objects:
                name = each.name or (f"{each.library} {each.kind}" if each.library not in ("", "asyncio") else "")
                if name and len(self._naming.names) < 100_000:
                    self._naming.names.setdefault(f"{each.id:#x}", name)
        elif isinstance(event, (ThreadDef, ThreadGone, WaitDef)):
            pass  # of threads
        else:
            if isinstance(event, Forget):
                self._task_waits = {}
            super()._apply(event)

    def _tick(self, tick: Tick) -> None:
        """Of threads."""

    def _define(self, event: TaskDef) -> None:
        task = self._alive.get(event.id) or self._new(event.id, event.name)
        function = self._naming.tables.frames.get(event.function)
        if function is not None:
            self._functions[task] = Stack((function,))
            if _DEFAULT_NAME.match(event.name):
                task.name = function.function
        task.alias = event.name
        task.started_ns = event.born_ns
        task.wanted = self.selection.takes(task)

    def _look(self, tick: TaskTick) -> None:
        start = tick.at_ns - tick.dt_ns
        if not self.ticks:
            self.first_ns = start
        changes = tick.changes
        touched: dict[SampledThread, None] = {}
        for i in range(0, len(changes) - 5, 6):
            task = self._alive.get(changes[i])
            if task is None:
                task = self._new(changes[i], f"task {changes[i]}")
            now = self._doing(task, changes[i + 1], changes[i + 2], changes[i + 3])
            if task.doing is not IN_NOBODYS_NAME:
                now = self._naming.in_name(now, task.doing)
            if task.now is not now:
                self._change(task, start, now)
                if not now.plain:
                    touched[task] = None
        self.last_ns = max(self.last_ns, tick.at_ns)
        if touched or self._dirty:
            self._settle(start, touched)
        self.ticks += 1

    def _doing(self, task: SampledThread, stack_id: int, wait_id: int, holds_id: int) -> Activity:
        stack = self._naming.tables.stacks.get(stack_id, NO_STACK) if stack_id else self._functions.get(task, NO_STACK)
        wait = self._task_waits.get(wait_id, _NOTHING)
        holds = self._naming.tables.holds.get(holds_id, ())
        key = (id(stack), id(wait), id(holds))
        found = self._naming.activities.get(key)
        if found is None:
            found = self._naming.activities[key] = self._of(stack, wait, holds)
        return found

    def _of(self, stack: Stack, wait: TaskWait, holds: tuple[Hold, ...]) -> Activity:
        lock = None
        if wait.object and wait.state in _SHARED:
            lock = self._naming.lock(wait.object, wait.kind, None, True)
        held = self._naming.held(
            self._naming.lock(h.lock, h.kind, h.site, h.confidence is Confidence.EXACT) for h in holds if h.lock
        )
        return Activity(
            NEAREST[wait.state],
            stack,
            Wait(WaitKind.UNKNOWN, peer=wait.peer) if wait.peer is not None else NO_WAIT,
            Classification(NEAREST[wait.state], TASK_STATES[wait.state]),
            lock,
            held,
            self.selection.takes_state(wait.state) and self.selection.takes_doing(IN_NOBODYS_NAME),
            lock is None and not held,
            (TASK_STATES[wait.state], _detail(wait)),
        )

    def _owner(self, lock: LockName, waiter: SampledThread) -> Blocker | None:
        """One of those that have it: a pool and a semaphore have several."""
        others = [(t, exact) for t, exact in self._owners.get(lock.key, {}).items() if t is not waiter]
        if not others:
            return None
        owner, exact = others[0]
        return owner.exactly if exact else owner.perhaps


def _detail(wait: TaskWait) -> str:
    """Of a wait at nothing that others have."""
    if wait.state is TaskState.EXECUTOR:
        return "a worker thread" if wait.queued else "a call in a thread"
    if wait.state in (TaskState.RUNNING, TaskState.READY):
        return ""
    return wait.via

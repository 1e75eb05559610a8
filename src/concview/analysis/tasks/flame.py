"""Where the time of tasks goes, by await chain: what the flame graph of tasks is made of."""

from __future__ import annotations

from collections.abc import Iterator

from concview.analysis.calltree import Slice
from concview.analysis.tasks import words
from concview.analysis.tasks.history import TaskHistories
from concview.analysis.tasks.records import TaskRun
from concview.analysis.tasks.window import SHARED
from concview.model import TASK_STATES, Frame, Stack, TaskState

#: Of a task that runs, the thread's stack tells what it does; one without work has none.
_LEFT_OUT = frozenset({TaskState.RUNNING, TaskState.IDLE})


def slices(history: TaskHistories, start_ns: int, end_ns: int) -> Iterator[Slice]:
    """All waits of all tasks between two moments: the await chain with what it ends in on top. Equal ones are one
    object."""
    made: dict[tuple[int, str], Stack] = {}
    for task in history.every(start_ns):
        for run in task.runs:
            begin, end = max(run.start_ns, start_ns), min(run.end_ns or end_ns, end_ns)
            if end <= begin or not run.stack.frames or run.wait.state in _LEFT_OUT:
                continue
            what = _told(history, run)
            key = (id(run.stack), what)
            if key not in made:
                made[key] = Stack((Frame(what, "", 0, "", "root"), *run.stack.frames))
            yield Slice(-task.id, made[key], begin, end)


def _told(history: TaskHistories, run: TaskRun) -> str:
    """'[pool] asyncpg Pool', '[io] tcp 10.0.0.3:5432', '[task] gather'."""
    wait = run.wait
    detail = wait.via
    if wait.object and wait.state in SHARED:
        detail = words.object_name(history.object(wait.object), wait.kind, wait.object)
    elif wait.peer is not None:
        detail = f"{wait.peer.known_as or wait.peer.kind} {wait.peer.name}"
    return f"[{TASK_STATES[wait.state]}] {detail}".rstrip()

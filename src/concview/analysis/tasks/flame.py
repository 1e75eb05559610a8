"""Where the time of tasks goes, by await chain: what the flame graph of tasks is made of."""

from __future__ import annotations

from concview.analysis.tasks import words
from concview.analysis.tasks.history import TaskHistories
from concview.analysis.tasks.records import TaskRun
from concview.analysis.tasks.window import SHARED
from concview.model import TASK_STATES, Frame, Stack, TaskState

#: Of a task that runs, the thread's stack tells what it does; one without work has none.
_LEFT_OUT = frozenset({TaskState.RUNNING, TaskState.IDLE})


def stack_times(history: TaskHistories, start_ns: int, end_ns: int) -> list[tuple[Stack, int]]:
    """(await chain with what it ends in on top, nanoseconds) of all waits of all tasks between two moments. Equal ones
    are one object."""
    made: dict[tuple[int, str], Stack] = {}
    found: list[tuple[Stack, int]] = []
    for task in history.every(start_ns):
        for run in task.runs:
            ns = min(run.end_ns or end_ns, end_ns) - max(run.start_ns, start_ns)
            if ns <= 0 or not run.stack.frames or run.wait.state in _LEFT_OUT:
                continue
            what = _told(history, run)
            key = (id(run.stack), what)
            if key not in made:
                made[key] = Stack((Frame(what, "", 0, "", "root"), *run.stack.frames))
            found.append((made[key], ns))
    return found


def _told(history: TaskHistories, run: TaskRun) -> str:
    """'[pool] asyncpg Pool', '[io] tcp 10.0.0.3:5432', '[task] gather'."""
    wait = run.wait
    detail = wait.via
    if wait.object and wait.state in SHARED:
        detail = words.object_name(history.object(wait.object), wait.kind, wait.object)
    elif wait.peer is not None:
        detail = f"{wait.peer.known_as or wait.peer.kind} {wait.peer.name}"
    return f"[{TASK_STATES[wait.state]}] {detail}".rstrip()

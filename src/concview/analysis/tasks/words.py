"""What a task does, in words: for views, dumps and findings alike."""

from __future__ import annotations

from collections.abc import Iterable

from concview.analysis.tasks.history import TaskHistories
from concview.analysis.tasks.records import SharedObject, TaskHistory, TaskRun
from concview.model import AT_YIELD, IN_PROCESSES, MESSAGES, Frame, TaskState, TaskWait
from concview.text import clean, file_name, plural
from concview.text import group as group_of

_AT_QUEUE = {
    "Queue.get": "an item of {}",
    "Queue.put": "room in {}",
    "Queue.join": "all items of {} to be done",
    "MemoryObjectReceiveStream.receive": "an item of {}",
    "MemoryObjectSendStream.send": "room in {}",
    "MemoryReceiveChannel.receive": "an item of {}",
    "MemorySendChannel.send": "room in {}",
}


def place(frame: Frame | None) -> str:
    """'report.py:11'; '' where there is none."""
    return f"{file_name(frame.file)}:{frame.line}" if frame is not None and frame.file else ""


def object_name(told: SharedObject | None, kind: str, id_: int) -> str:
    """As its user wrote it: 'self._lock'; else what it is: 'asyncpg Pool', 'Lock at 0x7f..'."""
    if told is not None and told.told.name:
        return told.told.name
    if told is not None and told.told.library not in ("", "asyncio"):
        return f"{told.told.library} {kind}"
    if kind == "Executor":
        return "the executor"
    return f"{kind or 'something'} at {id_:#x}" if id_ else kind or "something"


def wanted_name(told: SharedObject | None, wait: TaskWait) -> str:
    """As the line calls it that waits for it: another one may have taken it by another name."""
    return wait.written or object_name(told, wait.kind, wait.object)


def usage(told: SharedObject | None) -> str:
    """'2 of 2 in use', '300 items', '6 of 6 busy, 54 queued'; '' where nothing is known."""
    if told is None:
        return ""
    one = told.told
    if one.kind == "Executor" and one.limit > 0:
        queued = f", {one.backlog} queued" if one.backlog > 0 else ""
        return f"{max(0, one.used)} of {one.limit} busy{queued}"
    if one.puts >= 0 or "Queue" in one.kind:
        if one.used < 0:
            return ""
        return f"{one.used} of {one.limit} items" if one.limit > 0 else plural(one.used, "item")
    if one.kind == "Barrier":
        return f"{one.used} of {one.limit} are there" if one.limit > 0 and one.used >= 0 else ""
    if one.limit > 0 and one.used >= 0 and one.kind != "Lock":
        return f"{one.used} of {one.limit} in use"
    return ""


def alike(names: Iterable[str], total: int = 0) -> str:
    """'credit', 'credit and debit', 'fetch-* (12)'."""
    told = list(dict.fromkeys(names))
    total = max(total, len(told))
    if total <= 2:
        return " and ".join(clean(n, 40) for n in told)
    groups = list(dict.fromkeys(group_of(n) for n in told))
    if len(groups) == 1:
        return f"{clean(groups[0], 40)}-* ({total})"
    return f"{clean(told[0], 40)} and {total - 1} more"


def holders_of(history: TaskHistories, wait: TaskWait) -> tuple[int, ...]:
    """Ids of living tasks that have what a task waits for, as it was last told."""
    told = history.object(wait.object) if wait.object else None
    return tuple(t for t in told.told.holders if t in history.tasks) if told is not None else ()


def reason(history: TaskHistories, task: TaskHistory, run: TaskRun, thread: dict[int, str] | None = None) -> str:
    """What it does or waits for, who has that, and the line of the program's own. `thread`: tid -> name."""
    where = place(run.leaf)
    at = f" ({where})" if where else ""
    wait, state = run.wait, run.wait.state
    names = thread or {}
    if state is TaskState.RUNNING:
        return f"runs in {names.get(wait.tid, 'its loop')}"
    if state is TaskState.READY:
        new = wait.via == "not started"
        return ("was made and has not run yet" if new else "is ready: only its loop is in the way") + at
    if state is TaskState.SLEEP and wait.via == "timer":
        return f"waits for its turn, by a timer of {wait.kind}{at}"
    if state is TaskState.SLEEP:
        return f"sleeps{at}"
    if state is TaskState.IDLE:
        return f"idle: {wait.via}{at}"
    if state is TaskState.IO:
        if wait.kind == MESSAGES:
            return f"{wait.via} over {MESSAGES}{at}"
        peer = f" {wait.peer.described}" if wait.peer is not None else ""
        there = [history.tasks[t].name for t in run.awaits if t in history.tasks]
        return f"{wait.via or 'waits for'}{peer}{at}{f', at its other end {alike(there)}' if there else ''}"
    if state is TaskState.EXECUTOR:
        if wait.tid:
            return f"waits for a call that {names.get(wait.tid, f'thread {wait.tid}')} runs{at}"
        if wait.kind == IN_PROCESSES:
            return f"waits for a call in a worker process{at}"
        what = "a worker thread: its call is queued" if wait.queued else "a call in a thread"
        return f"waits for {what}{at}"
    if state is TaskState.TASK:
        return _tasks(history, run) + at
    if state is TaskState.UNKNOWN and wait.via == "ended":
        who, _, how = wait.kind.rpartition(": ")
        return f"waits for what {who} would set, which {how}{at}"
    if state is TaskState.UNKNOWN and wait.via == AT_YIELD:
        return f"stands at a yield, and no task iterates it{at}"
    if state is TaskState.UNKNOWN:
        return f"waits for a future ({wait.kind or 'that tells no more'}){at}"
    told = history.object(wait.object) if wait.object else None
    name = wanted_name(told, wait)
    used = usage(told)
    what = name
    if state is TaskState.QUEUE:
        what = _AT_QUEUE.get(wait.via, "{}").format(name)
    elif wait.via == "Event.wait":
        what = f"{name} to be set"
    elif wait.via == "Condition.wait":
        what = f"a notify of {name}"
    held = [history.tasks[t].name for t in holders_of(history, wait) if t != task.id]
    by = f", held by {alike(held)}" if held and state is not TaskState.QUEUE else ""
    return f"waits for {what}{at}{f', {used}' if used else ''}{by}"


def _tasks(history: TaskHistories, run: TaskRun) -> str:
    if run.wait.via == "start":
        names = [history.tasks[t].name for t in run.awaits if t in history.tasks]
        return f"waits for {alike(names, run.awaited) if names else 'a task'} to say that it has started"
    how = run.wait.via or "await"
    names = [history.tasks[t].name for t in run.awaits if t in history.tasks]
    if not names:
        return f"waits for {plural(run.awaited, 'future')} ({how})" if run.awaited else f"waits for tasks ({how})"
    return f"waits for {alike(names, run.awaited)} ({how})"

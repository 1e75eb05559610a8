"""Of views about threads: what tasks wait for is in a view of its own, and this line leads there."""

from __future__ import annotations

from concview import text
from concview.model import TaskState
from concview.snapshot import Snapshot
from concview.tui.keys import by_id

#: What the tasks of these states wait at: in the words of the view, and the states.
LOCKS = "locks, queues and pools", (TaskState.LOCK, TaskState.QUEUE, TaskState.POOL)
QUEUES = "queues", (TaskState.QUEUE,)
PEERS = "sockets and streams", (TaskState.IO,)


def tasks_elsewhere(snapshot: Snapshot, what: tuple[str, tuple[TaskState, ...]]) -> str:
    """'297 tasks wait at locks, queues and pools now: T shows them. Here: threads.'; '' without tasks."""
    if snapshot.aio is None:
        return ""
    at, states = what
    number = sum(group.now for group in snapshot.aio.groups if group.state in states)
    waiting = f"{text.plural(number, 'task')} {text.waits(number)}" if number else "No task waits"
    return f"{waiting} at {at} now: {_there()}"


def all_tasks(snapshot: Snapshot) -> str:
    """'297 tasks: T shows them. Here: threads.'; '' without tasks."""
    aio = snapshot.aio
    return f"{text.plural(aio.alive, 'task')}: {_there()}" if aio is not None and aio.alive else ""


def _there() -> str:
    return f"{by_id('tab_10').shown} shows them. Here: threads."

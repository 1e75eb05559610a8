"""Tasks that give up by themselves at some time: by a limit of their own, or of one that waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concview.analysis.tasks.history import TaskHistories

#: How one waits for others that are cancelled together with it. `asyncio.wait` and `shield` let them go on.
_TOGETHER = frozenset({"await", "gather", "TaskGroup", "Nursery", "wait_for"})


def limited(aio: TaskHistories) -> frozenset[int]:
    """Ids of those whose present wait is over at some time whatever happens."""
    found: set[int] = set()
    ahead = [t for t in aio.tasks.values() if t.current is not None and t.current.limited]
    while ahead:
        task = ahead.pop()
        if task.id in found:
            continue
        found.add(task.id)
        run = task.current
        if run is not None and run.wait.via in _TOGETHER:
            ahead += [other for id_ in run.awaits if (other := aio.tasks.get(id_)) is not None]
    return frozenset(found)

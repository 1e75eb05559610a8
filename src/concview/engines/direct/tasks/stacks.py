"""The frames of suspended tasks as those of threads, for who searches the frames of all for an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concview.cpython.aio.chain import Link
from concview.cpython.aio.waits import Waiting
from concview.cpython.threads import Thread
from concview.model import TaskState

if TYPE_CHECKING:
    from concview.engines.direct.tasks.tracker import TaskTracker


class TaskStacks:
    """Called with how many at most: those, and how many there are. In turns, where there are more. The `tid` of one is
    minus the task's id; it is the same object as long as the task stands where it stood."""

    def __init__(self, tracker: TaskTracker) -> None:
        self._tracker = tracker
        self._slots = tracker.values.o["f.localsplus"]
        self._turn = 0
        self._known: dict[int, tuple[list[Link], Thread]] = {}  #: by the task's id

    def __call__(self, most: int) -> tuple[list[Thread], int]:
        every = [t for t in self._tracker.tasks.values() if t.links and not _runs(t.waiting)]
        first = self._turn % len(every) if len(every) > most else 0
        some = (every[first:] + every[:first])[:most]
        self._turn = first + len(some)
        before, self._known = self._known, {}
        for task in some:
            known = before.get(task.id)
            if known is None or known[0] is not task.links:
                known = task.links, self._stack(-task.id, task.links)
            self._known[task.id] = known
        return [thread for _, thread in self._known.values()], len(every)

    def _stack(self, tid: int, links: list[Link]) -> Thread:
        thread = Thread(0, 0, 0)
        thread.tid = tid
        inner = [link for link in reversed(links) if not link.created]
        thread.walk.places = [link.place for link in inner]
        thread.walk.addresses = [link.slots - self._slots for link in inner]
        return thread


def _runs(waiting: Waiting | None) -> bool:
    return waiting is None or waiting.state is TaskState.RUNNING

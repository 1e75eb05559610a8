"""Tasks that ended with an exception which nobody has asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concview.engines.direct.tasks.records import Task
from concview.model import Outcome, TaskDef
from concview.sink import Sink
from concview.text import clean

if TYPE_CHECKING:
    from concview.engines.direct.tasks.tracker import TaskTracker
    from concview.engines.direct.tasks.walker import Walker

#: Watched at most.
_MOST = 500


class Failures:
    def __init__(self, tracker: TaskTracker, walker: Walker, sink: Sink) -> None:
        self._tracker, self._walker, self._sink = tracker, walker, sink
        self._failed: dict[int, tuple[int, int]] = {}  #: address -> (its id, since when)

    def add(self, now: int, task: Task) -> None:
        if len(self._failed) < _MOST:
            self._failed[task.address] = task.id, now

    def before(self, now: int, address: int) -> None:
        """A task that had failed when it was first seen, and whose exception nobody has asked for: it is told as one
        that ends now."""
        if address in self._failed or len(self._failed) >= _MOST or not self._walker.unretrieved(address):
            return
        id_ = self._tracker.next_id()
        self._sink.emit(TaskDef(id_, clean(self._walker.name(address)), 0, 0))
        self._tracker.telling.gone(id_, Outcome.FAILED)
        self._failed[address] = id_, now

    def unretrieved(self) -> list[tuple[int, str, int]]:
        """(task id, class of its exception, since when) of ended tasks whose exception nobody has asked for."""
        found: list[tuple[int, str, int]] = []
        for address, (id_, since) in list(self._failed.items()):
            exception = self._walker.unretrieved(address) if address not in self._tracker.tasks else ""
            if exception:
                found.append((id_, exception, since))
            else:
                del self._failed[address]
        return found

"""Whether a task that waits at a lock or queue still waits for what it waited for at the last look.

A wait is known by its future's address, and memory is used again: a task that was served and waits again at once may
have its next future where the last one lay. asyncio keeps who waits in a deque, oldest first, which counts its changes:
who was served and came back stands behind all that came before, and the count says how many went and came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from concview.cpython.aio.values import BAD, Values
from concview.cpython.features import Features
from concview.model import TaskState

if TYPE_CHECKING:
    from concview.engines.direct.tasks.records import Task

_ATTRIBUTES = ("_waiters", "_getters", "_putters")
#: Longer rows of waiters are not followed; objects looked at in one go.
_MOST, _MOST_OBJECTS = 4096, 200


def steps_of(name: str, kind: str, has: Features) -> tuple[int, ...]:
    """What taking one out of the row may count: `popleft` 1; `remove` 3, the first one 2 up to 3.9
    (Modules/_collectionsmodule.c). A queue wakes by the one, a lock's waiter takes itself out by the other, a
    semaphore's changed from the one to the other in 3.10."""
    remove = 3 if has.deque_remove_counts_three else 2
    if name != "_waiters":
        return (1,)
    return (1, remove) if kind == "Semaphore" and not has.semaphore_row_by_remove else (remove,)


def still(before: Sequence[int], now: Sequence[int], moves: int, steps: Sequence[int]) -> set[int]:
    """Which of those that stand in a row stood in it before, and never left: `moves` is what its count rose by,
    `steps` what taking one out may count. Fewer where it cannot be told."""
    place = {each: i for i, each in enumerate(before)}
    kept: list[int] = []
    last = -1
    for each in now:
        at = place.get(each, -1)
        if at <= last:
            break
        kept.append(each)
        last = at
    came, went = len(now) - len(kept), len(before) - len(kept)
    return set(kept) if any(moves == came + step * went for step in steps) else set()


class _Row:
    __slots__ = ("at_ns", "count", "futures")

    def __init__(self, at_ns: int, count: int, futures: list[int]) -> None:
        self.at_ns, self.count, self.futures = at_ns, count, futures


class WaitOrder:
    def __init__(self, values: Values) -> None:
        self._values = values
        self._rows: dict[int, _Row] = {}  #: by address of a deque

    def anew(self, now: int, tasks: list[Task]) -> list[Task]:
        """Those of these that wait for another time since the last call."""
        places: dict[int, list[Task]] = {}
        for task in tasks:
            waiting = task.waiting
            if (
                waiting is not None
                and waiting.object
                and waiting.library == "asyncio"
                and waiting.state in (TaskState.LOCK, TaskState.QUEUE)
            ):
                places.setdefault(waiting.object, []).append(task)
        found: list[Task] = []
        rows: dict[int, _Row] = {}
        for place in sorted(places, key=lambda p: -len(places[p]))[:_MOST_OBJECTS]:
            by_future = {task.future: task for task in places[place]}
            try:
                attributes = self._values.attributes(place)
                for name in _ATTRIBUTES:
                    if name in attributes:
                        kind = places[place][0].waiting
                        steps = steps_of(name, kind.kind if kind is not None else "", self._values.o.features)
                        self._row(now, attributes[name], steps, by_future, rows, found)
            except BAD:
                continue
        self._rows = rows
        return found

    def _row(
        self,
        now: int,
        deque: int,
        steps: tuple[int, ...],
        by_future: dict[int, Task],
        rows: dict[int, _Row],
        found: list[Task],
    ) -> None:
        values, o = self._values, self._values.o
        if values.type_name(deque) != "collections.deque":
            return
        size, count = values.memory.word(deque + o["deque.ob_size"]), values.memory.word(deque + o["deque.state"])
        old = self._rows.get(deque)
        if size > _MOST or (old is not None and count == old.count):
            if old is not None and size <= _MOST:
                rows[deque] = old
            return
        futures = values.objects.deque_items(deque, _MOST)
        if values.memory.word(deque + o["deque.state"]) != count or len(futures) != size:
            return  # it moved meanwhile: nothing is said until the next time but one
        rows[deque] = _Row(now, count, futures)
        if old is None:
            return
        same = still(old.futures, futures, count - old.count, steps)
        for future in futures:
            task = by_future.get(future)
            if task is not None and future not in same and task.since_ns <= old.at_ns:
                found.append(task)

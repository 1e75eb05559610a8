"""Who works on what, and what that is a part of: one item may be known by several who wait for one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from concview.engines.direct.labels.records import Item, Owner
from concview.engines.direct.tasks import TaskTracker
from concview.engines.direct.tasks.records import Task
from concview.labels.policy import label
from concview.labels.reader import join, same

#: Tasks that one waits for, and tasks between one and who waits for it in the end, that are looked at.
_MOST_AWAITED, _MOST_BETWEEN = 1_000, 8


class Shares:
    def __init__(
        self, tracker: TaskTracker, threads: Mapping[int, Owner], tasks: Mapping[int, Owner], full: bool
    ) -> None:
        """Both by tid or task id, as the look keeps them. `full`: labels are told whole."""
        self._tracker, self._threads, self._tasks, self._full = tracker, threads, tasks, full

    def __call__(self, by_id: Mapping[int, Task]) -> list[Item]:
        """Items in progress, oldest first, with who works on each and what it is a part of. `by_id`: living tasks."""
        found: dict[int, Item] = {}
        serves: dict[int, Owner] = {}  #: future -> the task that it is done for
        awaiters = self._awaiters(by_id)
        for id_, owner in self._tasks.items():
            task = by_id.get(id_)
            whose = owner if owner.items else awaiters.get(id_)
            if whose is not None and task is not None and task.waiting is not None:
                for future in (task.future, task.waiting.call):
                    if future:
                        serves[future] = whose
        inherited: list[tuple[int, bool, Item | None, list[Item]]] = []
        parts: dict[int, Item] = {}  #: what turned out to be another one's, as somebody else tells it -> that one
        every = [(id_, owner, True) for id_, owner in self._tasks.items()]
        every += [(tid, owner, False) for tid, owner in self._threads.items()]
        for _, owner, _ in every:
            for item in owner.items:
                item.threads, item.tasks, item.inside = [], [], 0
        for id_, owner, is_task in every:
            outer = next((serves[f] for f in owner.serves if f in serves), None)
            if outer is None:
                outer = awaiters.get(id_ if is_task else -id_)
            own, around = self._chain(owner, outer, parts) if outer is not None else (owner.items, [])
            if around:
                inherited.append((id_, is_task, own[-1] if own else None, around))
            _put(own, id_, is_task, found)
        for id_, is_task, last, around in inherited:  # behind those whose own frames tell it
            _put(around, id_, is_task, found)
            if last is not None and last is not around[0]:
                last.inside = around[0].id
        _join(found, parts)
        return sorted(found.values(), key=lambda item: item.started_ns or item.seen_ns)

    def _awaiters(self, by_id: Mapping[int, Task]) -> dict[int, Owner]:
        """Task id, or -tid of the thread that runs it -> who waits for that task alone, and has work. It may be some
        tasks away: `asyncio.wait_for` and `gather` put others between. One that several wait for is nobody's."""
        direct: dict[int, int] = {}
        shared: set[int] = set()
        for id_, owner in self._tasks.items():
            task = owner.task or by_id.get(id_)
            waiting = task.waiting if task is not None else None
            for address in waiting.awaited[:_MOST_AWAITED] if waiting is not None else ():
                child = self._tracker.tasks.get(address)
                if child is not None and direct.setdefault(child.id, id_) != id_:
                    shared.add(child.id)
        found: dict[int, Owner] = {}
        running = {t.id: tid for a, tid in self._tracker.running.items() if (t := self._tracker.tasks.get(a))}
        for child_id in direct:
            at, steps = child_id, 0
            while at in direct and at not in shared and steps < _MOST_BETWEEN:
                at, steps = direct[at], steps + 1
                owner = self._tasks[at]
                if owner.items:
                    found[-running[child_id] if child_id in running else child_id] = owner
                    break
        return found

    def _chain(self, owner: Owner, outer: Owner, parts: dict[int, Item]) -> tuple[list[Item], list[Item]]:
        """What is done here, and what that is done for. A request that the task has from its server and the thread
        from its framework is one."""
        inner = list(owner.items)
        if owner.raws and outer.raws and same(outer.raws[0], owner.raws[-1]):
            whole = outer.items[0]
            found = label(join(outer.raws[0], owner.raws[-1]), self._full)
            if inner[-1] is not whole:
                parts[inner[-1].id] = whole
                if not found.missing:
                    whole.label = found
            inner.pop()
        return inner, [i for i in outer.items if i not in inner]


def _put(chain: Sequence[Item], id_: int, is_task: bool, found: dict[int, Item]) -> None:
    """Somebody works on these, innermost first."""
    for item, around in zip(chain, [*chain[1:], None], strict=False):
        found[item.id] = item
        (item.tasks if is_task else item.threads).append(id_)
        if around is not None:
            item.inside = around.id


def _join(found: dict[int, Item], parts: dict[int, Item]) -> None:
    """Whoever works on a part works on the whole: where tasks wait for tasks, another one may tell which that is."""
    for id_ in [id_ for id_ in found if id_ in parts]:
        item = found[id_]
        whole, steps = parts[id_], 0
        while whole.id in parts and steps < _MOST_BETWEEN:
            whole, steps = parts[whole.id], steps + 1
        if whole.id not in found or whole is item:
            continue
        del found[id_]
        whole.threads += [t for t in item.threads if t not in whole.threads]
        whole.tasks += [t for t in item.tasks if t not in whole.tasks]
        for other in found.values():
            if other.inside == id_:
                other.inside = whole.id

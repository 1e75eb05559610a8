"""Who has what a pool has lent, where no frame of the pool's library says so: a connection kept in a variable.

A pool of which everything is out lists what it has lent, or each connection knows its pool. Tasks in whose variables,
or in attributes of these, such a thing is found can give it back: that is inferred, as others may have it, too.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from concview.cpython.aio.values import BAD
from concview.engines.direct.tasks.records import Task
from concview.model import TaskState

if TYPE_CHECKING:
    from concview.engines.direct.tasks.tracker import TaskTracker

#: Library -> the pool's attribute with what it has lent, or with all that it has: a set or a list.
LENT = {"redis": "_in_use_connections", "aiohttp": "_acquired", "asyncpg": "_holders"}
#: How often it is looked for, and our CPU for one look; nanoseconds.
EVERY_NS, MOST_NS = 1_000_000_000, 4_000_000
_POOLS, _TASKS, _FRAMES, _VARIABLES, _ITEMS, _LEVELS = 4, 300, 8, 16, 1_000, 3


class Lent:
    def __init__(self, tracker: TaskTracker) -> None:
        self._tracker = tracker
        self._at = self._turn = 0
        self._seen = -1
        self._began = 0
        self._known: dict[tuple[int, int], frozenset[int]] = {}  #: (object, levels) -> pools, in this look
        self.holders: dict[int, list[Task]] = {}  #: pool -> tasks that were found to have something of it

    def look(self, now: int) -> None:
        if now < self._at:
            return
        self._at = now + EVERY_NS
        if self._tracker.version == self._seen:
            return
        version = self._tracker.version
        waiting = self._waited()
        self.holders = {p: [t for t in tasks if t.alive] for p, tasks in self.holders.items() if p in waiting}
        if not waiting:
            self._seen = version
            return
        values, self._began = self._tracker.values, time.thread_time_ns()
        self._known.clear()
        items: dict[int, int] = {}  #: what is lent -> its pool
        for pool, library in list(waiting.items())[:_POOLS]:
            items[pool] = pool
            with contextlib.suppress(*BAD):
                kept = values.attribute(pool, LENT.get(library, ""))
                some = values.set_items if values.type_name(kept) == "set" else values.list_items
                items.update(dict.fromkeys(some(kept, _ITEMS) if kept else (), pool))
        tasks = [t for t in self._tracker.tasks.values() if t.links]
        first = self._turn % max(1, len(tasks))
        found: dict[int, list[Task]] = {}
        looked = 0
        for task in (tasks[first:] + tasks[:first])[:_TASKS]:
            if time.thread_time_ns() - self._began > MOST_NS:
                break
            looked += 1
            if task.waiting is not None and task.waiting.object in waiting:
                continue
            for pool in self._has(task, items):
                found.setdefault(pool, []).append(task)
        self._turn = first + looked
        if looked >= len(tasks) and time.thread_time_ns() - self._began <= MOST_NS:
            self.holders, self._seen = found, version
        else:  # in turns: what was found before stands until it is looked at again
            for pool, those in found.items():
                known = self.holders.setdefault(pool, [])
                known += [t for t in those if t not in known]

    def _waited(self) -> dict[int, str]:
        """Pool -> its library, of those that tasks wait for."""
        waits = (t.waiting for t in self._tracker.tasks.values())
        return {w.object: w.library for w in waits if w is not None and w.state is TaskState.POOL and w.object}

    def _has(self, task: Task, items: dict[int, int]) -> set[int]:
        """Pools that something lies in a task's variables of, or in attributes of these."""
        values, chains = self._tracker.values, self._tracker.chains
        pools: set[int] = set()
        for link in (*task.links[-_FRAMES:], *self._tracker.generators.iterated.get(task.address, ())[:_FRAMES]):
            with contextlib.suppress(*BAD):
                slots = list(chains.variables(link).values())[:_VARIABLES]
                addresses = [values.cell(v) for s in slots if (v := chains.slot(link, s))]
                for address, kind in zip(addresses, values.type_names(addresses), strict=True):
                    pools |= self._within(address, kind, items, _LEVELS)
        return pools

    def _within(self, address: int, kind: str, items: dict[int, int], levels: int) -> frozenset[int]:
        """Pools that an object is lent by, or something that it has is."""
        pool = items.get(address)
        if pool is not None:
            return frozenset({pool} - {address})
        if not levels or not kind or "." in kind or kind in _PLAIN:
            return frozenset()
        known = self._known.get((address, levels))
        if known is not None:
            return known
        self._known[address, levels] = frozenset()  # of a circle
        values, found = self._tracker.values, set[int]()
        parts = list(values.attributes(address).values())[: 4 * _VARIABLES]
        for part, inner in zip(parts, values.type_names(parts), strict=True):
            # A client refers to its pool, too, and has nothing of it; a connection has.
            if part in items and items[part] == part:
                if "Connection" in kind and address != part:
                    found.add(part)
            else:
                found |= self._within(part, inner, items, levels - 1)
            if time.thread_time_ns() - self._began > MOST_NS:
                break
        self._known[address, levels] = frozenset(found)
        return self._known[address, levels]


#: Types that have nothing, or everything.
_PLAIN = frozenset(
    {
        "Task",
        "Future",
        "_UnixSelectorEventLoop",
        "Loop",
        "Context",
        "str",
        "int",
        "float",
        "bool",
        "NoneType",
        "bytes",
        "tuple",
        "list",
        "dict",
        "set",
        "function",
    }
)

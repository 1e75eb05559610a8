"""Time limits that tasks wait under: told as when the wait is over at the latest.

Most are context managers of blocks that the task's frames are in: asyncio.timeout, async_timeout, anyio's and trio's
cancel scopes, aiohttp's timer. Others are an argument of asyncio's own `wait_for` and `wait`, or a timer of the loop
whose callback ends the wait by its name: `loop.call_later(30, task.cancel)`. Each wait is looked at once, when it has
lasted for a while: before that nothing follows from whether it has a limit.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from concview.cpython.aio.chain import Link
from concview.cpython.aio.holders import GENERATORS
from concview.cpython.aio.values import BAD, FAR_S
from concview.engines.direct.tasks.records import Task
from concview.engines.direct.tasks.timers import called, ends_a_wait
from concview.model import LIMITED_NS, TaskState

if TYPE_CHECKING:
    from concview.cpython.aio.holders import Holders
    from concview.engines.direct.tasks.tracker import TaskTracker

#: How often they are looked for, from which age of a wait on, and our CPU for one look; nanoseconds.
EVERY_NS, AGE_NS, MOST_NS = 1_000_000_000, 1_000_000_000, 4_000_000
#: Waits in one look, timers of one loop, members of what a timer calls.
_WAITS, _TIMERS, _MEMBERS = 500, 256, 16
#: Class of a manager -> where it keeps when it is over: seconds, None or infinity for never. Without an attribute the
#: class has no other instances than those with a limit. Source: CPython 3.11 to 3.15 asyncio/timeouts.py; async-timeout
#: 3 to 5; anyio 3 and 4; trio 0.20 to 0.35; aiohttp 3 helpers.py (TimerNoop is that without).
_DEADLINES = {
    "Timeout": ("_when", "_deadline"),
    "CancelScope": ("_deadline",),
    "TimerContext": (),
}
#: asyncio's functions that take a limit as their argument `timeout`.
_ARGUMENT = frozenset({"wait_for", "_wait", "wait"})
_TASKS_PY = "asyncio/tasks.py"
#: Of a TimerHandle: what is read of all at once.
_SLOTS = ("_when", "_callback", "_args", "_cancelled")
_WORD = struct.Struct("<Q").unpack_from
#: What ends by itself in another way.
_NOT_LOOKED_AT = frozenset({TaskState.RUNNING, TaskState.READY, TaskState.SLEEP, TaskState.IDLE})


#: Addresses of when it is due, of its callback and of its arguments.
_Words = tuple[int, int, int]


class _Timer(NamedTuple):
    words: _Words
    when: float  #: seconds of the loop's clock; 0.0: never
    reached: frozenset[int]  #: what its callback is a method of, and is given
    ends: frozenset[int]  #: that and what they have, where it ends something by its name


class Limits:
    """`look` tells each task that has waited for a while under a limit when that is over (`Task.until_ns`)."""

    def __init__(self, tracker: TaskTracker, holders: Holders) -> None:
        self._tracker, self._holders = tracker, holders
        self._values, self._chains = tracker.values, tracker.chains
        self._look_at = 0
        self._timers: dict[int, _Timer] = {}  #: by the handle's address
        self._left: list[Task] = []  #: that were not looked for among all timers
        self._seen = -1  #: version of the tracker's tasks of which all waits have been looked at

    def look(self, now: int) -> None:
        if now < self._look_at:
            return
        self._look_at = now + EVERY_NS
        version = self._tracker.version
        if version == self._seen:
            return
        began, young, wanted = time.thread_time_ns(), False, list[Task]()
        for task in self._tracker.tasks.values():
            waiting = task.waiting
            if waiting is None or task.looked == (task.future, task.since_ns) or waiting.state in _NOT_LOOKED_AT:
                continue
            if now - task.since_ns < AGE_NS or len(wanted) >= _WAITS:
                young = True
                continue
            wanted.append(task)
        without = self._left
        for task in wanted:
            if time.thread_time_ns() - began > MOST_NS:
                young = True
                break
            task.looked, task.until_ns = (task.future, task.since_ns), self._of(task.links)
            if task.until_ns:
                self._tracker.telling.touch(task)
            else:
                without.append(task)
        self._left = []
        if without and not self._by_timers(without, began):
            self._left, young = [t for t in without if t.alive and not t.until_ns][-_WAITS:], True
        self._seen = -1 if young else version

    # ------------------------------------------------------------------ blocks and arguments

    def _of(self, links: Iterable[Link]) -> int:
        """The first of the limits of these frames; nanoseconds, 0 none."""
        found: list[int] = []
        for link in links:
            code = link.place.code
            with contextlib.suppress(*BAD):
                if not link.created:
                    found += [self._deadline(manager) for manager in self._managers(link)]
                    if code.name in _ARGUMENT and code.file.endswith(_TASKS_PY):
                        given = self._values.number(self._chains.local(link, "timeout"))
                        found.append(LIMITED_NS if given is not None else 0)
        return _first(found)

    def _managers(self, link: Link) -> list[int]:
        """Of a frame's blocks, and of those of a generator that is one of them, as anyio.fail_after is. Raises BAD."""
        found = self._holders.managers([link])
        for manager in found[:_MEMBERS]:
            if self._values.type_name(manager) in GENERATORS:
                inner = self._values.attribute(manager, "gen")
                frame = self._chains.frame(inner) if inner else None
                found += self._holders.managers([frame]) if frame is not None else []
        return found

    def _deadline(self, manager: int) -> int:
        values = self._values
        kind = values.type_name(manager)
        names = _DEADLINES.get(kind)
        if names is None:
            return 0
        if not names:
            return LIMITED_NS
        attributes = values.attributes(manager)
        when = next((n for name in names if (n := values.number(attributes.get(name, 0))) is not None), None)
        if when is None or not when < FAR_S:
            return 0
        # trio's clock begins anywhere.
        return int(when * 1e9) if when > 0 and "_cancel_status" not in attributes else LIMITED_NS

    # ------------------------------------------------------------------ timers

    def _by_timers(self, tasks: list[Task], began: int) -> bool:
        """Whether all timers were looked at."""
        known, through = self._timers, True
        self._timers = {}
        by_task, by_future = {t.address: t for t in tasks}, {t.future: t for t in tasks if t.future}
        for loop in self._tracker.loops.known.values():
            try:
                handles = self._handles(loop.scheduled) if loop.scheduled else []
            except BAD:
                handles, through = [], False
            for handle, words, cancelled in handles:
                timer = known.get(handle)
                if timer is None or timer.words != words:
                    if time.thread_time_ns() - began > MOST_NS:
                        through = False
                        continue
                    try:
                        timer = self._timer(handle, words)
                    except BAD:  # it was cancelled meanwhile, say; the others are there
                        through = False
                        continue
                self._timers[handle] = timer
                if not timer.when or cancelled:
                    continue
                # Whatever is done with the very future, it is done by then.
                found = [by_future[a] for a in (timer.reached | timer.ends) & by_future.keys()]
                found += [by_task[a] for a in timer.ends & by_task.keys()]
                for task in found:
                    task.until_ns = _first([task.until_ns, int(timer.when * 1e9)])
                    self._tracker.telling.touch(task)
        return through

    def _handles(self, scheduled: int) -> list[tuple[int, _Words, bool]]:
        """(timer, what tells it from another one at its address, whether it was cancelled) of a loop's. Raises BAD."""
        values = self._values
        handles = values.list_items(scheduled, _TIMERS)
        places = dict(values.slots(handles[0])) if handles else {}
        if not places.keys() >= {*_SLOTS}:
            return []
        at = [places[name] for name in _SLOTS]
        first, size = min(at), max(at) + 8 - min(at)
        found: list[tuple[int, _Words, bool]] = []
        flags: dict[int, bool] = {}
        for handle, part in zip(handles, values.memory.read_many([(h + first, size) for h in handles]), strict=True):
            if part is None:
                continue
            when, callback, args, cancelled = (_WORD(part, offset - first)[0] for offset in at)
            if cancelled not in flags:
                flags[cancelled] = values.integer(cancelled, 1) != 0
            found.append((handle, (when, callback, args), flags[cancelled]))
        return found

    def _timer(self, handle: int, words: _Words) -> _Timer:
        """Raises BAD."""
        values = self._values
        one = called(values, self._tracker.waits, *words[1:], _MEMBERS)
        every = set[int]()
        if ends_a_wait(values, self._tracker.waits, one):
            every = one.reached | {a for owner in one.reached for a in values.attributes(owner).values()}
        return _Timer(words, values.due(handle), frozenset(one.reached), frozenset(every))


def _first(found: Iterable[int]) -> int:
    """The earliest of those that are known; that there is one, where of none is known when; 0 none."""
    known = [n for n in found if n]
    return min((n for n in known if n != LIMITED_NS), default=LIMITED_NS) if known else 0

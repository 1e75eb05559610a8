"""Event loops, and what tasks share, a few times a second."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from concview.cpython.aio.holders import Held
from concview.cpython.aio.loops import Loop
from concview.cpython.aio.pools import Numbers, Pools, QueueCounts
from concview.cpython.aio.values import BAD
from concview.engines.direct.tasks.lent import Lent
from concview.engines.direct.tasks.records import NO_THREAD, Task
from concview.linux.caught_signals import caught_signals
from concview.linux.epolls import EpollWaits
from concview.model import AsyncObject, AsyncObjects, Loops, LoopState, TaskCancel, TaskFailure
from concview.sink import Sink
from concview.text import clean

if TYPE_CHECKING:
    from concview.engines.direct.tasks.tracker import TaskTracker

#: Intervals in nanoseconds.
LOOPS_NS, OBJECTS_NS, TIMERS_NS, THREADS_NS = 500_000_000, 500_000_000, 100_000_000, 1_000_000_000
CANCELS_NS = 1_000_000_000
#: Objects told at once: those with most waiters first. Reading them takes so much of our CPU at most, nanoseconds.
MAX_OBJECTS = 200
OBJECTS_CPU_NS = 6_000_000
_MAX_HOLDERS = 64
#: Coroutine functions whose frames are asked what they call an object that they wait for.
_NAMING = 3
_MAX_FAILURES = 20
#: Tasks whose counter of `cancel` is read in one report; more than this is no counter.
_COUNTED, _MOST_CANCELS = 500, 1 << 24
#: Tasks whose frames are searched for queues at each report, in turn; variables of a frame, attributes of an object;
#: queues known at most.
_SEARCHED, _VARIABLES, _ATTRIBUTES, _MAX_QUEUES = 12, 16, 64, 64
#: Of one coroutine function, so many are searched in one turn through all tasks; so many are passed over at once.
_ALIKE, _PASSED = 32, 2_000
_MAX_USERS = 16
#: Whose locks and queues other libraries use.
_PLAIN_LIBRARIES = ("", "asyncio", "anyio", "trio")
_PLAIN = ("Condition", "Event", "TaskGroup")
#: What a program puts another one in the place of while tasks wait at it; so many are looked at each time.
_REPLACED, _MOST_REPLACED = ("Condition", "Event"), 8
_QUEUES = ("Queue", "LifoQueue", "PriorityQueue")
#: The ends of anyio's streams and of trio's channels at which items are taken out.
_RECEIVES = frozenset({"MemoryObjectReceiveStream", "MemoryReceiveChannel"})


class _Shared:
    """One object, as tasks see it."""

    __slots__ = ("exact", "held", "holders", "kind", "library", "waiters", "waiting")

    def __init__(self, kind: str, library: str) -> None:
        self.kind, self.library = kind, library
        self.waiting = self.held = 0
        self.waiters: dict[int, Task] = {}  #: coroutine function -> a task of it that waits
        self.holders: list[tuple[Task, Held]] = []
        self.exact = True


class Reporter:
    def __init__(self, tracker: TaskTracker, sink: Sink) -> None:
        self._tracker, self._sink = tracker, sink
        self._values = tracker.values
        self._pools = Pools(tracker.values)
        self._counts = QueueCounts(tracker.values)
        self._lent = Lent(tracker)
        self.calls: dict[int, int] = {}  #: future of `concurrent.futures` -> tid of the thread that runs it
        self._queues: dict[int, str] = {}  #: found in frames -> what they are called
        self._users: dict[int, dict[int, None]] = {}  #: queue -> ids of tasks in whose frames it was found
        self._names: dict[int, tuple[str, int]] = {}
        self._names_generation = -1
        self._libraries: dict[int, str] = {}
        self._turn = 0
        self._alike: Counter[int] = Counter()  #: coroutine function -> tasks of it passed in this turn
        self._counted = self._gathered = -1  #: version of the tracker's tasks that these are of
        self._per_loop: Counter[int] = Counter()
        self._numbers: dict[int, Numbers] = {}
        self._read_at: dict[int, int] = {}
        self._shared: dict[int, _Shared] = {}
        self._epolls = EpollWaits(tracker.process)
        self._loops_at = self._objects_at = self._timers_at = self._threads_at = 0
        self._ran: Counter[int] = Counter()  #: running task, over the looks of the interval
        self._looked = 0
        self._last_ns = 0
        self._told = False
        self._cancelled: dict[Task, tuple[int, int]] = {}  #: -> (since when, how often)
        self._cancel_turn = self._cancels_at = 0
        self._replaced: dict[int, str] = {}
        self._replaced_turn = 0
        self._cancels_of = -1

    def poll(self, now: int, loops: dict[int, int], idents: dict[int, int], running: dict[int, int]) -> None:
        """After a look. `loops`: running loop -> tid, where thread states say so; `running`: task -> tid."""
        tracker = self._tracker
        self._looked += 1
        for address in running:
            task = tracker.tasks.get(address)
            if task is not None:
                self._ran[task.id] += 1
        if now >= self._timers_at:
            self._timers_at = now + TIMERS_NS
            for loop in tracker.loops.known.values():
                tracker.loops.timers(loop, now)
        if now >= self._loops_at:
            self._loops_at = now + LOOPS_NS
            self._tell_loops(now, loops, idents, running)
        if now >= self._objects_at:
            self._objects_at = now + OBJECTS_NS
            self._lent.look(now)
            self._tell_objects(now)

    # ------------------------------------------------------------------ loops

    def _outside(self, loop: Loop, tid: int) -> int:
        """As `LoopState.outside`. Of uvloop's it tells at the same time that there is no timer."""
        if loop.kind == "uvloop":
            watched = self._epolls.outside(tid) if tid and not loop.ready else -1
            loop.timers = 0 if watched >= 0 else -1
        else:
            watched = self._tracker.loops.outside(loop) if not loop.ready and not loop.timers else -1
        caught = caught_signals(self._tracker.process) if watched >= 0 else -1
        return watched + caught if watched >= 0 <= caught else -1

    def _tell_loops(self, now: int, loops: dict[int, int], idents: dict[int, int], running: dict[int, int]) -> None:
        tracker, totals = self._tracker, self._tracker.totals
        if tracker.version != self._counted:
            self._counted = tracker.version
            self._per_loop = Counter(task.loop for task in tracker.tasks.values())
        per_loop = self._per_loop
        if now >= self._threads_at:
            self._threads_at = now + THREADS_NS
            for loop in tracker.loops.known.values():
                if loop.kind in ("trio", "gevent", "eventlet"):
                    continue  # its thread's frames, or the hub itself, tell
                loop.tid = loops.get(loop.address, 0) or tracker.loops.idents(loop, idents)
        runs = {task.loop: task.id for a in running if (task := tracker.tasks.get(a)) is not None}
        loop_of = {task.id: task.loop for task in tracker.tasks.values()} if self._ran else {}
        rows: list[LoopState] = []
        for loop in list(tracker.loops.known.values()):
            count = per_loop.get(loop.address, 0)
            tid = loops.get(loop.address, loop.tid)
            if not count and not tid:
                if now - loop.seen_ns > 5_000_000_000:
                    del tracker.loops.known[loop.address]
                continue
            loop.seen_ns = now
            seen, outside = loop.times(now), self._outside(loop, tid)
            top = max((t for t in self._ran if loop_of.get(t) == loop.address), key=self._ran.__getitem__, default=0)
            rows.append(
                LoopState(
                    loop.address,
                    clean(loop.kind),
                    tid,
                    bool(tid),
                    count,
                    loop.ready,
                    loop.timers,
                    loop.pushes,
                    loop.pops,
                    loop.late,
                    seen.late_p95,
                    seen.p50,
                    seen.p95,
                    seen.longest,
                    seen.busy,
                    seen.looks,
                    runs.get(loop.address, 0),
                    loop.executor,
                    top,
                    self._ran[top] / self._looked if top and self._looked else 0.0,
                    loop.interpreter,
                    tuple(tracker.waits.given(loop.ready_at)) if loop.ready and loop.kind == "asyncio" else (),
                    seen.asleep,
                    outside,
                )
            )
        failures = tracker.failures.unretrieved()
        self._cancels(now)
        born = tracker.top_number - tracker.first_number + 1 if tracker.first_number >= 0 else -1
        problem = tracker.problem
        self._sink.emit(
            Loops(
                now,
                now - self._last_ns if self._last_ns else 0,
                tuple(rows),
                born,
                totals.seen,
                totals.ended,
                totals.failed,
                totals.torn,
                totals.walks,
                totals.skipped,
                totals.looks,
                tuple(TaskFailure(t, clean(e), since) for t, e, since in failures[:_MAX_FAILURES]),
                len(failures),
                f"tasks are not read: {problem}" if problem else "",
                "run concview with --agent, which asks asyncio itself" if problem else "",
                tracker.unseen_kinds,
                self._told_cancels(),
            )
        )
        self._last_ns = now
        self._ran.clear()
        self._looked = 0

    def _cancels(self, now: int) -> None:
        """Tasks that were told to end and have not: a counter of each, some tasks at a time."""
        at = self._values.layout.cancels
        if not at or now < self._cancels_at:
            return
        self._cancels_at = now + CANCELS_NS
        if self._tracker.version == self._cancels_of and not self._cancelled:
            return  # nobody has run since
        self._cancels_of = self._tracker.version
        tasks = [t for t in self._tracker.tasks.values() if t.kind == "task"]
        first = self._cancel_turn % len(tasks) if len(tasks) > _COUNTED else 0
        some = (tasks[first:] + tasks[:first])[:_COUNTED]
        self._cancel_turn = first + len(some)
        parts = self._values.memory.read_many([(t.address + at, 4) for t in some])
        for task, part in zip(some, parts, strict=True):
            times = int.from_bytes(part, "little") if part is not None else 0
            if not 0 < times < _MOST_CANCELS:
                self._cancelled.pop(task, None)
            else:
                self._cancelled[task] = self._cancelled.get(task, (now, 0))[0], times
        self._cancelled = {t: c for t, c in self._cancelled.items() if t.alive}

    def _told_cancels(self) -> tuple[TaskCancel, ...]:
        first = sorted(self._cancelled.items(), key=lambda each: each[1][0])[:_MAX_FAILURES]
        return tuple(TaskCancel(task.id, times, since) for task, (since, times) in first)

    # ------------------------------------------------------------------ objects

    def _tell_objects(self, now: int) -> None:
        began = time.thread_time_ns()
        tracker = self._tracker
        if self._names_generation != self._sink.generation or len(self._names) > 4096:
            self._names_generation = self._sink.generation
            self._names.clear()
        queues = len(self._queues)
        if tracker.version != self._gathered or self._turn < len(tracker.tasks):
            self._search()
        if tracker.version != self._gathered or len(self._queues) != queues:
            self._shared = self._gather()
            self._gathered = tracker.version
        shared = self._shared
        order = sorted(shared, key=lambda a: (-shared[a].waiting, -len(shared[a].holders)))
        told = order[:MAX_OBJECTS]
        self._numbers = {a: n for a, n in self._numbers.items() if a in shared}
        # Those that were read longest ago first: what does not fit now keeps its numbers until the next time.
        for address in sorted(told, key=lambda a: self._read_at.get(a, 0)):
            if time.thread_time_ns() - began > OBJECTS_CPU_NS and address in self._numbers:
                break
            each = shared[address]
            self._read_at[address] = now
            if each.kind == "Lock" and each.library == "asyncio":  # nothing beside who waits and who holds
                self._numbers[address] = Numbers(1, 1 if each.holders or each.waiting else -1)
            elif each.kind in _PLAIN and each.library == "asyncio":
                self._numbers[address] = Numbers()
            else:
                self._numbers[address] = self._pools.read(address, each.kind, each.library)
        if len(self._read_at) > 4 * MAX_OBJECTS:
            self._read_at = {a: t for a, t in self._read_at.items() if a in shared}
        numbers = {a: self._numbers[a] for a in told if a in self._numbers}
        self._replaced = self._find_replaced([a for a in numbers if shared[a].kind in _REPLACED])
        counts = self._counts.read({a: n.deque for a, n in numbers.items() if n.deque})
        rows = tuple(self._row(a, shared[a], n, counts.get(a, (-1, -1))) for a, n in numbers.items())
        if rows or self._told:
            self._told = bool(rows)
            self._sink.emit(AsyncObjects(now, rows, len(order) - len(rows)))
        for address in self._queues.keys() - numbers.keys():
            del self._queues[address]
        self._users = {q: u for q, u in self._users.items() if q in self._queues or q in shared}

    def _gather(self) -> dict[int, _Shared]:
        shared: dict[int, _Shared] = {}
        tracker = self._tracker
        for task in tracker.tasks.values():
            waiting = task.waiting
            if waiting is not None and waiting.object:
                each = shared.get(waiting.object)
                if each is None:
                    each = shared[waiting.object] = _Shared(waiting.kind, waiting.library)
                each.waiting += 1
                if len(each.waiters) < _NAMING and task.links:
                    each.waiters.setdefault(task.links[0].place.code.address, task)
            for held in task.held:
                each = shared.get(held.object)
                if each is None:
                    library = held.library or self._library(held.object)
                    each = shared[held.object] = _Shared(held.kind, library)
                each.exact = each.exact and held.exact
                each.held += 1
                if len(each.holders) < _MAX_HOLDERS:
                    each.holders.append((task, held))
        for loop in tracker.loops.known.values():
            if loop.executor:
                shared.setdefault(loop.executor, _Shared("Executor", "asyncio"))
        for queue in self._queues:
            if queue not in shared:
                shared[queue] = _Shared(self._values.type_name(queue).rpartition(".")[2] or "Queue", "asyncio")
        return shared

    def _library(self, pool: int) -> str:
        known = self._libraries.get(pool)
        if known is None:
            if len(self._libraries) > 1000:
                self._libraries.clear()
            known = self._libraries[pool] = self._pools.library_of(pool)
        return known

    def _row(self, address: int, each: _Shared, numbers: Numbers, counts: tuple[int, int]) -> AsyncObject:
        tracker, values = self._tracker, self._values
        holders = [task.id for task, _ in each.holders]
        for owner in numbers.owners:
            task = tracker.tasks.get(owner)
            if task is not None and task.id not in holders:
                holders.append(task.id)
        inside = tracker.promises.holders.get(address) or ([] if holders else self._lent.holders.get(address, []))
        holders += [task.id for task in inside if task.id not in holders]
        limit, used, backlog = numbers.limit, numbers.used, numbers.backlog
        if each.kind == "Semaphore":
            free, backlog = backlog, -1
            if limit < 0 <= free and each.exact:
                limit = free + each.held
            used = limit - free if limit >= 0 <= free else each.held
        threads: tuple[int, ...] = ()
        if each.kind == "Executor":
            threads = tuple(sorted(set(self.calls.values()) - {NO_THREAD}))
            used = len(threads)
        name, where = self._name(address, each)
        kind = each.kind
        if kind == "Executor":
            name = values.text(values.attribute(address, "_thread_name_prefix"))
        return AsyncObject(
            address,
            clean(kind),
            clean(name),
            clean(each.library),
            limit,
            used,
            each.waiting,
            tuple(holders[:_MAX_HOLDERS]),
            each.exact and not inside,
            *counts,
            backlog,
            threads,
            numbers.queue,
            where,
            self._users_of(address),
            self._replaced.get(address, ""),
        )

    def _find_replaced(self, addresses: list[int]) -> dict[int, str]:
        """Those of these objects in whose place the program has put another one, some of them at a time."""
        first = self._replaced_turn % len(addresses) if addresses else 0
        some = (addresses[first:] + addresses[:first])[:_MOST_REPLACED]
        self._replaced_turn = first + len(some)
        found = {a: self._replaced[a] for a in addresses if a in self._replaced and a not in some}
        for address in some:
            waiters = self._shared[address].waiters.values()
            told = (self._tracker.sites.replaced(address, waiter.links) for waiter in waiters)
            if expression := next(filter(None, told), ""):
                found[address] = clean(expression)
        return found

    def _name(self, address: int, each: _Shared) -> tuple[str, int]:
        known = self._names.get(address)
        if known is not None:
            return known
        name, where = "", 0
        for task, held in each.holders[:1]:
            hold = next((h for h in self._tracker.sites.holds(task.held) if h.lock == address), None)
            # A library's own names say nothing to a reader, and a pool is taken from by a session or a request.
            if hold is not None and held.named and each.kind != "Pool" and self._tracker.sites.is_own(held.link):
                name = hold.site.expression
            where = held.link.place.frame_id
        for waiter in each.waiters.values():
            if name:
                break
            name, where = self._tracker.sites.name_of(address, waiter.links)
            waiting = waiter.waiting
            if waiting is not None and waiting.via == "enter":  # a library's own kind of lock: its parts have no name
                name = self._tracker.sites.entered(waiter.links) or name or each.kind.strip("_")
            elif not name and each.library in _PLAIN_LIBRARIES:
                # A global is in no variable of a frame's.
                name = self._tracker.sites.entered(waiter.links, direct=True)
        name = name or self._queues.get(address, "")
        if not name and each.library in _PLAIN_LIBRARIES:  # another one's own says more: 'asyncpg Pool'
            names = (self._tracker.sites.name_in_library(address, w.links) for w in each.waiters.values())
            name = next(filter(None, names), "")
        self._names[address] = name, where
        return self._names[address]

    # ------------------------------------------------------------------ queues that nobody waits at

    def _search(self) -> None:
        """asyncio's queues among the variables of tasks' frames, and the attributes of their `self`."""
        tasks = list(self._tracker.tasks.values())
        if not tasks or len(self._queues) >= _MAX_QUEUES:
            return
        first = self._turn % len(tasks)
        if not first:
            self._alike.clear()
        some: list[Task] = []
        for task in tasks[first : first + _PASSED]:
            if len(some) >= _SEARCHED:
                break
            first += 1
            function = task.links[0].place.code.address if task.links else 0
            self._alike[function] += 1
            if self._alike[function] <= _ALIKE:
                some.append(task)
        self._turn = first
        tracker, chains, values = self._tracker, self._tracker.chains, self._values
        for task in some:
            within = tracker.generators.iterated.get(task.address, ())[:2]
            for link in (*task.links[:2], *task.links[2:][-2:], *within):
                try:
                    variables = list(chains.variables(link).items())[:_VARIABLES]
                    found = {name: chains.slot(link, slot) for name, slot in variables}
                    kinds = values.type_names(found.values())
                    for (name, value), kind in zip(list(found.items()), kinds, strict=True):
                        if kind == "cell":
                            value = values.cell(value)
                            kind = values.type_name(value)
                        if kind in _QUEUES and "_getters" in values.attributes(value):
                            # In a method of its own it is 'self': that is no name of it.
                            self._queues[value] = name if name != "self" else self._queues.get(value, "")
                            self._used(value, task)
                        elif kind in _RECEIVES:
                            self._used(values.attribute(value, "_state"), task)
                        elif name == "self" and kind:
                            self._attributes(value, task)
                except BAD:
                    continue

    def _used(self, queue: int, task: Task) -> None:
        users = self._users.setdefault(queue, {})
        if len(users) < _MAX_USERS or task.id in users:
            users[task.id] = None

    def _users_of(self, queue: int) -> tuple[int, ...]:
        users = self._users.get(queue)
        if not users:
            return ()
        alive = {task.id for task in self._tracker.tasks.values()}
        for gone in users.keys() - alive:
            del users[gone]
        return tuple(users)

    def _attributes(self, owner: int, task: Task) -> None:
        values = self._values
        attributes = list(values.attributes(owner).items())[:_ATTRIBUTES]
        for (name, value), kind in zip(attributes, values.type_names(v for _, v in attributes), strict=True):
            if kind in _QUEUES and "_getters" in values.attributes(value):
                self._queues.setdefault(value, f"self.{name}")
                self._used(value, task)
            elif kind in _RECEIVES:
                self._used(values.attribute(value, "_state"), task)

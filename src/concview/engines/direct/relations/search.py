"""What all looks share: who waits for what, and the search through the frames of all threads."""

from __future__ import annotations

from collections.abc import Callable

from concview.cpython.attributes import Attributes
from concview.cpython.code import Codes
from concview.cpython.locks import LockReader
from concview.cpython.threads import Thread
from concview.cpython.waitables import Waitables
from concview.engines.direct.relations.databases import Databases
from concview.engines.direct.relations.finder import Finder
from concview.engines.direct.relations.frames import Frames
from concview.engines.direct.relations.handles import Handles
from concview.engines.direct.thread_table import ThreadRow, ThreadTable
from concview.model import Wait, WaitKind
from concview.sink import Sink
from concview.source.calls import ACQUIRES
from concview.source.facts import SourceFacts
from concview.source.obligations import Obligations
from concview.source.uses import Uses

#: How often who waits is looked at; threads whose frames are searched in one look.
LOOK_NS, MAX_THREADS = 250_000_000, 256
#: The same of suspended tasks.
MAX_TASKS = 64
#: Frames are searched again after so long where something new is waited for, where only who waits has changed, and
#: where nothing has.
NEW_NS, MOVED_NS, STILL_NS = 450_000_000, 1_000_000_000, 2_000_000_000
_FORGET_NS = 30_000_000_000
_SHARED_NS = 100_000_000
#: Files of source that are parsed in one look.
NEW_FILES = 2
#: Innermost frames of a thread that sleeps, by which it may be trying for something again and again.
_ACQUIRING = 8
#: Stacks of which it is remembered whether they are in such a function.
_STACKS = 20_000
#: Kinds of descriptors that have another end on some host.
_LINKED = frozenset({"tcp", "unix", "pipe", "socket"})

#: How many at most -> the frames of suspended tasks, and how many of these there are.
Suspended = Callable[[int], tuple[list[Thread], int]]
#: By address, and by descriptor.
Waiting = dict[int, list[tuple[ThreadRow, Wait]]]


class Acquiring:
    """Whether a thread stands in a function that acquires something, by its name: asked once of each stack."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._generation = sink.generation
        self._known: dict[int, bool] = {}  #: by id of a stack

    def __call__(self, row: ThreadRow) -> bool:
        if self._generation != self._sink.generation or len(self._known) > _STACKS:
            self._generation = self._sink.generation
            self._known.clear()
        known = self._known.get(row.stack) if row.stack else None
        if known is None:
            known = self._known[row.stack] = any(
                place.code.qualname.rpartition(".")[2] in ACQUIRES
                for thread in row.states
                for place in thread.walk.places[:_ACQUIRING]
            )
        return known


class Waits:
    """Who waits for what, at one look."""

    def __init__(self) -> None:
        self.objects: Waiting = {}  #: by address
        self.descriptors: Waiting = {}
        self.file_locks: Waiting = {}
        self.children: list[ThreadRow] = []
        self.natives: list[ThreadRow] = []
        self.sleepers: list[tuple[ThreadRow, Wait]] = []  #: inside native code
        self.pollers: list[tuple[ThreadRow, Wait]] = []  #: in a function that acquires something, by its name

    def add(self, row: ThreadRow, wait: Wait, acquires: Callable[[ThreadRow], bool]) -> None:
        if wait.kind is WaitKind.FUTEX:
            if wait.lock:
                self.objects.setdefault(wait.lock, []).append((row, wait))
            else:
                self.natives.append(row)
        elif wait.kind is WaitKind.IO and wait.fd >= 0 and wait.peer is not None:
            if wait.peer.kind == "file lock":
                self.file_locks.setdefault(wait.fd, []).append((row, wait))
            elif wait.peer.kind in _LINKED and wait.peer.status != "LISTEN":
                self.descriptors.setdefault(wait.fd, []).append((row, wait))
            elif wait.syscall.startswith("epoll_"):
                self.children.append(row)  # an event loop may wait for a child among others
        elif wait.kind is WaitKind.SLEEP and wait.via == "native":
            self.sleepers.append((row, wait))
        elif wait.kind is WaitKind.SLEEP:
            if acquires(row):
                self.pollers.append((row, wait))
        elif wait.kind is WaitKind.CHILD:
            self.children.append(row)

    def both(self, before: Waits | None) -> Waits:
        """What somebody waits for now and waited for at the look before; None: there was none, and the next one is too
        far away to know nothing until then."""
        if before is None:
            return self
        same = Waits()
        same.objects = {a: w for a, w in self.objects.items() if a in before.objects}
        same.descriptors = {fd: w for fd, w in self.descriptors.items() if fd in before.descriptors}
        same.file_locks = {fd: w for fd, w in self.file_locks.items() if fd in before.file_locks}
        children, natives = {r.tid for r in before.children}, {r.tid for r in before.natives}
        same.children = [row for row in self.children if row.tid in children]
        sleepers = {r.tid for r, _ in before.sleepers}
        same.sleepers = [(row, wait) for row, wait in self.sleepers if row.tid in sleepers]
        pollers = {r.tid for r, _ in before.pollers}
        same.pollers = [(row, wait) for row, wait in self.pollers if row.tid in pollers]
        same.natives = [row for row in self.natives if row.tid in natives]
        return same

    def tids(self) -> set[int]:
        every = (*self.objects.values(), *self.descriptors.values(), *self.file_locks.values())
        return {row.tid for waiting in (*every, self.sleepers, self.pollers) for row, _ in waiting}


class Pace:
    """When frames are searched again: soon for something new that is waited for, later where only who waits has
    changed, and rarely where nothing has. A search costs some 50 µs a thread, a glance at who waits next to nothing."""

    def __init__(self) -> None:
        self._what: set[int] = set()
        self._who: object = None
        self._at_ns = -STILL_NS

    def due(self, now: int, waiting: Waiting) -> bool:
        what, who = set(waiting), {key: [row.tid for row, _ in rows] for key, rows in waiting.items()}
        since, new = now - self._at_ns, what - self._what
        self._what &= what  # what is waited for again later is new then
        over = not what and bool(self._who)  # which costs nothing to tell
        if not over and since < (NEW_NS if new else MOVED_NS if who != self._who else STILL_NS):
            return False
        self._what, self._who, self._at_ns = what, who, now
        return True


class Search:
    """`begin` reads the frames of the threads; then `finder.find` tells which of them refer to what."""

    def __init__(
        self, reader: LockReader, codes: Codes, sink: Sink, table: ThreadTable, facts: SourceFacts, tasks: Suspended
    ) -> None:
        self._suspended = tasks
        self.sink, self.table, self.reader = sink, table, reader
        self.attributes = Attributes(reader.objects)
        self.frames = Frames(reader, codes, self.attributes)
        self.finder = Finder(reader, self.attributes, self.frames)
        self.handles = Handles(reader)
        self.databases = Databases(reader)
        self.states = Waitables(reader)
        self.obligations = Obligations(Uses(facts.lines, NEW_FILES))
        self._turn = 0
        self._forget_at = 0
        self._waits, self._waits_at = Waits(), -_SHARED_NS
        self._acquiring = Acquiring(sink)

    def waits(self, now: int) -> Waits:
        """Of all threads of Python's, at this moment or a few samples ago: looks that come one after the other share
        it."""
        if now - self._waits_at < _SHARED_NS:
            return self._waits
        self._waits_at = now
        waits = self._waits = Waits()
        for row in self.everyone():
            waits.add(row, self.sink.waited(row.wait), self._acquiring)
        return waits

    def everyone(self) -> list[ThreadRow]:
        return [row for row in self.table.by_tid.values() if row.states]

    def begin(self, now: int, waiting: set[int], tasks: bool = False) -> tuple[int, int]:
        """(threads whose frames are searched, how many there are). `waiting`: tids that come first. `tasks`: suspended
        tasks' frames, too: they count as threads whose tid is minus their id."""
        if now >= self._forget_at:
            self._forget_at = now + _FORGET_NS
            self.attributes.forget()
            self.finder.forget()
            self.handles.forget()
            self.databases.forget()
            self.states.forget()
        self.obligations.refill()
        everyone = self.everyone()
        threads, searched = self._threads(waiting, everyone)
        there = len(everyone)
        if tasks:
            suspended, more = self._suspended(MAX_TASKS)
            threads += suspended
            searched, there = searched + len(suspended), there + more
        self.finder.begin(self.frames.read(threads), waiting, now)
        return searched, there

    def _threads(self, waiting: set[int], everyone: list[ThreadRow]) -> tuple[list[Thread], int]:
        """Whose frames are searched: those that wait, and of the others as many as one look may take, in turn."""
        first = [row for row in everyone if row.tid in waiting][: MAX_THREADS // 2]
        others = [row for row in everyone if row.tid not in waiting]
        room = MAX_THREADS - len(first)
        if len(others) > room:
            self._turn = self._turn % len(others)
            others = (others[self._turn :] + others[: self._turn])[:room]
            self._turn += room
        rows = [*first, *others]
        return [t for row in rows for t in row.states], len(rows)

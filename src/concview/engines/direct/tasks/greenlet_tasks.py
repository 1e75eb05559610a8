"""Greenlets as rows: found in memory now and then, read at every look, walked when they moved."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from concview.cpython.aio.chain import Checker, Link
from concview.cpython.aio.greenlet_waits import GreenletWaits
from concview.cpython.aio.greenlets import Greenlets, Head
from concview.cpython.aio.loops import Loop
from concview.cpython.aio.roles import wraps
from concview.cpython.aio.values import BAD
from concview.cpython.aio.waits import Waiting
from concview.cpython.object_pools import ObjectPools
from concview.cpython.threads import Interpreter, Thread
from concview.engines.direct.tasks.records import Task
from concview.model import Outcome, TaskState

if TYPE_CHECKING:
    from concview.cpython.aio.holders import Held, Holders
    from concview.cpython.aio.transports import Transports
    from concview.engines.direct.tasks.tracker import TaskTracker

#: A look is followed by a pause so many times as long as it took, and at least this one (nanoseconds).
_PAUSE, _LEAST_NS = 30, 100_000_000
#: The same of a search through memory; CPU that one step of it may take, and walks of one look.
_SEARCH_PAUSE, _SEARCH_NS, _STEP_NS, _WALK_NS = 100, 1_000_000_000, 2_000_000, 8_000_000
#: The first search is made in longer steps: until it is over greenlets are missing.
_FIRST_STEP_NS = 20_000_000
#: Greenlets that are listed at most; walked together.
MAX_GREENLETS = 20_000
_BATCH = 64
#: Bytes of the innermost frame that are compared: where it stands, and its first variables.
_FRAME = 192


#: What runs greenlets, as loops are told by their kind.
LIBRARIES = ("gevent", "eventlet")


def _function(links: list[Link]) -> str:
    """What a greenlet runs, for its name."""
    for link in links[:2]:
        if not wraps(link.place.code.file, link.place.code.qualname):
            return link.place.code.name
    return "greenlet"


class _Known:
    """A greenlet as it was last read."""

    __slots__ = ("frame", "head", "inner", "name", "part", "task")

    def __init__(self, head: Head) -> None:
        self.head = head
        self.frame = 0
        self.part: bytes | None = None  #: of its innermost frame
        self.task: Task | None = None
        self.inner, self.name = 0, ""  #: of the greenlet that `task` is of


class GreenletTasks:
    def __init__(self, tracker: TaskTracker, holders: Holders, transports: Transports) -> None:
        self._tracker, self._holders = tracker, holders
        self._values, self._memory = tracker.values, tracker.values.memory
        self._greenlets = Greenlets(tracker.values, tracker.chains)
        self._waits = GreenletWaits(tracker.values, tracker.chains, transports)
        self._pools = ObjectPools(self._memory, tracker.values.o)
        self._checker = Checker(tracker.values)
        self._known: dict[int, _Known] = {}
        self._moved: dict[int, None] = {}
        self._hubs: dict[int, int] = {}  #: main greenlet -> the greenlet that is its thread's loop
        self._threads: dict[int, int] = {}  #: eventlet's loops -> tid
        self._workers: set[int] = set()  #: main greenlets of threads in gevent's pool
        self._search: Iterator[list[tuple[int, int]]] | None = None
        self._spent = 0  #: of the search, nanoseconds
        self._due_ns = self._search_ns = 0
        self._library = ""
        self.any = False  #: the library is imported
        self.searched = False  #: one whole pass through memory has been made
        self.more = False  #: there are more than are listed

    def look_for(self, interpreters: list[Interpreter], threads: list[Thread], library: str) -> None:
        """`library`: what runs them, one of `LIBRARIES` or ''."""
        self._library = library
        if library == "eventlet":
            self._eventlet(threads)
        if not library:
            self.any = False  # SQLAlchemy's greenlets are told with the tasks that await them
            return
        for interpreter in interpreters:
            with contextlib.suppress(*BAD):
                if self._greenlets.look_for(interpreter.address):
                    self.any = True

    def _eventlet(self, threads: list[Thread]) -> None:
        """eventlet's hub is a plain greenlet: it is told by the frame at its bottom, when it is seen to run."""
        for thread in threads:
            if not thread.walk.places:
                continue
            code = thread.walk.places[-1].code
            if code.qualname == "BaseHub.run" and code.file.endswith("eventlet/hubs/hub.py"):
                with contextlib.suppress(*BAD):
                    hub = self._tracker.chains.variable_of(code, thread.walk.addresses[-1], "self")
                    if greenlet := self._values.attribute(hub, "greenlet"):
                        self._threads[greenlet] = thread.tid

    @property
    def searching(self) -> bool:
        """The first search is not over: greenlets are missing."""
        return self.any and not self.searched and not self._pools.problem

    @property
    def unseen(self) -> str:
        """Why greenlets are not listed, or not all; '' when they are."""
        if not self._library:
            return ""
        name = f"greenlets of {self._library}"
        if not self.any:
            return f"{name} are not read: greenlet's C module of release 2.0 or newer was not found"
        why = self._pools.problem or (self._greenlets.problem if self.searched else "")
        if not why and self.searched and not self._pools.pools:
            why = "the program does not use Python's own allocator, in whose memory they are looked for"
        if why:
            return f"{name} are not read: {why}"
        if self.searching:
            return f"{name}: not all are listed yet: they are still being looked for in its memory"
        if self.more or not self._pools.whole:
            return f"{name}: not all are listed: at most {MAX_GREENLETS}, and in 4 GB of memory, are"
        return ""

    # ------------------------------------------------------------------ one look

    def poll(self, now: int, idents: dict[int, int]) -> int:
        """How many were torn."""
        if self._pools.problem or (now < self._due_ns and (self._search is None and now < self._search_ns)):
            return 0
        self._find(now)
        if now < self._due_ns:
            return 0
        began = time.thread_time_ns()
        torn = 0
        with contextlib.suppress(*BAD):
            self._read(now)
            if self._greenlets.layout is not None:
                torn = self._look(now, idents)
        self._due_ns = now + max(_LEAST_NS, _PAUSE * (time.thread_time_ns() - began))
        return torn

    def _find(self, now: int) -> None:
        """One step of the search for those that are new."""
        if self._search is None:
            if now < self._search_ns:
                return
            self._search, self._spent = self._pools.search(dict(self._greenlets.types)), 0
        began = time.thread_time_ns()
        while True:
            found = next(self._search, None)
            if found is None:
                self._search, self.searched = None, True
                break
            fresh = [address for address, _ in found if address not in self._known]
            for head in self._greenlets.heads(fresh):
                if head is not None and len(self._known) < MAX_GREENLETS:
                    self._known[head.address] = _Known(head)
                elif head is not None:
                    self.more = True
            if time.thread_time_ns() - began > (_STEP_NS if self.searched else _FIRST_STEP_NS):
                break
        self._spent += time.thread_time_ns() - began
        self._search_ns = now + max(_SEARCH_NS, _SEARCH_PAUSE * self._spent)

    def _read(self, now: int) -> None:
        """What may have changed of each; drops those that are gone."""
        known = self._known
        for address, head in zip(list(known), self._greenlets.heads(list(known)), strict=True):
            each = known[address]
            if head is None:
                self._drop(now, address)
            elif head.raw != each.head.raw or head.type != each.head.type:
                each.head = head
                self._moved[address] = None
        if self._greenlets.layout is None:
            self._greenlets.prove([each.head for each in known.values()])
            if self._greenlets.layout is None:
                return
            self._moved.update(dict.fromkeys(known))
        every = list(known.values())
        for each in every:
            each.frame = self._greenlets.frame(each.head) if self._greenlets.active(each.head) else 0
        parts = self._memory.read_many([(e.frame, _FRAME) if e.frame else (0, 0) for e in every])
        for each, part in zip(every, parts, strict=True):
            if part != each.part or (each.task is not None and each.task.waiting is None):
                each.part = part
                self._moved[each.head.address] = None

    def _drop(self, now: int, address: int) -> None:
        each = self._known.pop(address)
        self._moved.pop(address, None)
        if each.task is not None and each.task.alive:
            self._tracker.end(now, each.task, Outcome.NOT_SEEN)

    def _look(self, now: int, idents: dict[int, int]) -> int:
        greenlets, tracker = self._greenlets, self._tracker
        current: dict[int, int] = {}
        for each in list(self._known.values()):
            if greenlets.is_main(each.head):
                with contextlib.suppress(*BAD):
                    current[each.head.address] = greenlets.current(each.head)
        self._loops(now, idents)
        running = set(current.values())
        for address in running:
            if address in self._known:
                self._moved[address] = None
        began, torn = time.thread_time_ns(), 0
        order = list(self._moved)
        for start in range(0, len(order), _BATCH):
            batch = [self._known[a] for a in order[start : start + _BATCH] if a in self._known]
            torn += self._walk(now, batch, running)
            if time.thread_time_ns() - began > _WALK_NS:
                break
        tracker.unseen += len(self._moved)
        return torn

    # ------------------------------------------------------------------ loops

    def _loops(self, now: int, idents: dict[int, int]) -> None:
        """The hub of each thread: gevent's is a greenlet, whose thread it names."""
        values, loops = self._values, self._tracker.loops.known
        there: set[int] = set()
        workers: set[int] = set()
        for address, each in self._known.items():
            kind = values.name_of(each.head.type)
            if kind == "_WorkerGreenlet":
                workers.add(self._greenlets.main_of(each.head))
            if not self._greenlets.active(each.head):
                continue
            if kind == "Hub":
                tid = idents.get(values.integer(values.attribute(address, "thread_ident"), 0), 0)
            elif address in self._threads:
                tid = self._threads[address]
            else:
                continue
            self._hubs[self._greenlets.main_of(each.head)] = address
            there.add(address)
            loop = loops.get(address)
            if loop is None:
                loop = loops[address] = Loop(address, self._library, seen_ns=now)
            loop.tid = tid
        self._workers = workers
        for loop in loops.values():
            if loop.kind in LIBRARIES and loop.address not in there:
                loop.tid = 0

    # ------------------------------------------------------------------ what one does

    def _walk(self, now: int, batch: list[_Known], running: set[int]) -> int:
        greenlets = self._greenlets
        torn = 0
        suspended: list[_Known] = []
        for each in batch:
            address = each.head.address
            if self._is_loop(each.head):
                self._moved.pop(address, None)
            elif address in running:
                self._accept(now, each, [], Waiting(TaskState.RUNNING), [])
            elif greenlets.active(each.head):
                suspended.append(each)
            else:
                waiting = self._waits.before_start(address) if self._to_start(each) else None
                if waiting is not None:
                    self._accept(now, each, [], waiting, [])
                    continue
                self._moved.pop(address, None)  # it has ended, or nobody has asked for it to run
                if each.task is not None and each.task.alive:
                    self._tracker.end(now, each.task, Outcome.RETURNED)
                each.task = None
        found: list[tuple[_Known, list[Link], Waiting, list[Held]]] = []
        checks: list[list[tuple[int, bytes]]] = []
        for each, links in zip(suspended, greenlets.frames([e.head for e in suspended]), strict=True):
            if links is None:
                torn += 1
                continue
            check = [(each.head.inner, each.head.raw[: 8 * 20])]
            try:
                waiting = self._waits.of(each.head.address, links)
                for link in links:
                    check += link.stand
                held = self._holders.of(links, check)
            except BAD:
                torn += 1
                continue
            found.append((each, links, waiting, held))
            checks.append(check[:400])
        for (each, links, waiting, held), same in zip(found, self._checker.same(checks), strict=True):
            if same:
                self._accept(now, each, links, waiting, held)
            else:
                torn += 1
        return torn

    def _is_loop(self, head: Head) -> bool:
        """A hub, or one of the two greenlets of a thread in gevent's pool: the thread's own row tells of these."""
        main = self._greenlets.main_of(head)
        return self._hubs.get(main) == head.address or main in self._workers

    def _to_start(self, each: _Known) -> bool:
        """Made, and not started yet: it has something to call, and a stack that never was used."""
        start, stop, _, _ = self._greenlets.stack(each.head)
        return not start and not stop and self._greenlets.callable(each.head) != 0

    def _name(self, address: int, main: bool) -> str:
        """What the program calls it; '' for nothing."""
        if main:
            return "main greenlet"
        return self._values.text(self._values.attribute(address, "name"))

    def _accept(self, now: int, each: _Known, links: list[Link], waiting: Waiting, held: list[Held]) -> None:
        tracker, head = self._tracker, each.head
        self._moved.pop(head.address, None)
        main = self._greenlets.main_of(head)
        name = self._name(head.address, main == head.address)
        task = each.task
        if task is not None and (not task.alive or each.name != name or each.inner != head.inner):
            if task.alive:
                tracker.end(now, task, Outcome.NOT_SEEN)
            task = None
        if task is None:
            old = tracker.tasks.get(head.address)
            if old is not None:
                tracker.end(now, old, Outcome.NOT_SEEN)
            task = each.task = Task(head.address, 0, now if self.searched and tracker.filled else 0)
            task.kind = "greenlet"
            each.name, each.inner = name, head.inner
            tracker.begin(task, name)
        before = task.waiting
        same = before is not None and (before.state, before.via, before.object) == (
            waiting.state, waiting.via, waiting.object,
        )  # fmt: skip
        if not same or [k.place for k in task.links] != [k.place for k in links]:
            task.since_ns = now if before is not None else task.born_ns
        task.waiting = waiting
        task.loop = self._hubs.get(main, 0)
        if links:
            if not task.links:
                task.generation = -1  # its function is known now
            task.links = links
        task.name = name or f"{_function(task.links)}-{task.id}"
        if waiting.state is not TaskState.RUNNING:
            task.held = [h for h in held if h.object != waiting.object]
        tracker.describe(task)
        tracker.touch(task)

"""Greenlets as rows: found in memory now and then, read at every look, walked when they moved."""

from __future__ import annotations

import contextlib
import time
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from concview.cpython.aio.chain import Checker, Link
from concview.cpython.aio.greenlet_waits import GreenletWaits
from concview.cpython.aio.greenlets import Greenlets, Head
from concview.cpython.aio.loops import Loop
from concview.cpython.aio.roles import wraps
from concview.cpython.aio.values import BAD
from concview.cpython.aio.waits import Waiting
from concview.cpython.memory import Memory
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
#: Greenlets read with one call, which takes 1024 pieces; each has two.
_TOGETHER = 500
#: While there are some that were never walked: the pause is so many times as long, for so long.
_FILL_PAUSE, _FILL_NS = 5, 20_000_000_000


#: What runs greenlets, as loops are told by their kind.
LIBRARIES = ("gevent", "eventlet")


def _function(links: list[Link]) -> str:
    """What a greenlet runs, for its name."""
    for link in links[:4]:
        if not wraps(link.place.code.file, link.place.code.qualname):
            return link.place.code.name
    return "greenlet"


class _Known:
    """A greenlet as it was last read."""

    __slots__ = ("block", "frame", "head", "inner", "name", "task")

    def __init__(self, head: Head) -> None:
        self.head = head
        self.frame = 0
        self.block: _Block | None = None
        self.task: Task | None = None
        self.inner, self.name = 0, ""  #: of the greenlet that `task` is of


class _Block:
    """Some greenlets, whose pieces are read with one call and compared as bytes."""

    def __init__(self, members: list[_Known], pieces: list[tuple[int, ...]]) -> None:
        self._members = {each.head.address: i for i, each in enumerate(members)}
        self._segments = array("Q", [n for piece in pieces for n in piece])
        self._each, self._data = sum(pieces[0][1::2]), b""
        for each in members:
            each.block = self

    def fit(self, each: _Known, pieces: tuple[int, ...]) -> None:
        """It has its frame elsewhere now."""
        at = 4 * self._members[each.head.address]
        self._segments[at : at + 4] = array("Q", pieces)

    def changed(self, memory: Memory) -> list[int]:
        """Addresses of those that differ from the last time, all of them where they cannot be read together."""
        size = self._each
        data = memory.read_joined(self._segments, size * len(self._members))
        if data is None:
            pairs = list(zip(self._segments[::2], self._segments[1::2], strict=True))
            parts = memory.read_many(pairs)
            data = b"".join([p if p is not None else bytes(n) for p, (_, n) in zip(parts, pairs, strict=True)])
        old, self._data = self._data, data
        if data == old or not old:
            return []
        return [
            a for a, i in self._members.items() if data[i * size : i * size + size] != old[i * size : i * size + size]
        ]


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
        self._mains: set[int] = set()
        self._running: set[int] = set()
        self._blocks: list[_Block] = []
        self._laid_out = -1  #: how many lie in blocks
        self._kinds: tuple[set[int], int] = set(), -1
        self._special: list[int] = []
        self._workers: set[int] = set()  #: main greenlets of threads in gevent's pool
        self._search: Iterator[list[tuple[int, int]]] | None = None
        self._spent = 0  #: of the search, nanoseconds
        self._due_ns = self._search_ns = self._began_ns = 0
        self.behind = 0  #: that were found, and not walked yet since they moved
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
        self._began_ns = self._began_ns or now
        filling = self._moved and self.behind and now - self._began_ns < _FILL_NS
        pause = _FILL_PAUSE if filling else _PAUSE
        self._due_ns = now + max(_LEAST_NS, pause * (time.thread_time_ns() - began))
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
        """Which have moved since they were last read; drops those that are gone."""
        known, greenlets = self._known, self._greenlets
        if greenlets.layout is None:
            self._renew(now, list(known))
            greenlets.prove([each.head for each in known.values()])
            return
        if len(known) != self._laid_out or not self._blocks:
            self._lay_out()
        changed: list[int] = []
        for block in self._blocks:
            changed += block.changed(self._memory)
        if changed:
            self._renew(now, changed)

    def _renew(self, now: int, addresses: list[int]) -> None:
        """Read these again: they moved, or are gone."""
        for address, head in zip(addresses, self._greenlets.heads(addresses), strict=True):
            each = self._known[address]
            if head is None:
                self._drop(now, address)
                continue
            each.head = head
            self._moved[address] = None
            if self._greenlets.layout is not None:
                self._sort(each)

    def _sort(self, each: _Known) -> None:
        """Which is a thread's main one, and where the innermost frame of each is."""
        greenlets, address = self._greenlets, each.head.address
        if greenlets.is_main(each.head):
            self._mains.add(address)
        frame = greenlets.frame(each.head) if greenlets.active(each.head) else 0
        if frame != each.frame:
            each.frame = frame
            if each.block is not None:
                each.block.fit(each, self._pieces(each))

    def _pieces(self, each: _Known) -> tuple[int, ...]:
        """(address, size) in turn: what changes when it has run. What of its innermost frame: where that stands, and
        its first variables."""
        head = self._values.o["f.localsplus"] + 8
        # The C++ object goes with the greenlet: where that ends, or is another one's, it does not read the same.
        return (each.head.inner, self._greenlets.size, each.frame or each.head.inner, head)

    def _lay_out(self) -> None:
        """All of them, many to be read with one call."""
        for each in self._known.values():
            self._sort(each)
        self._laid_out, self._blocks = len(self._known), []
        every = list(self._known.values())
        for start in range(0, len(every), _TOGETHER):
            part = every[start : start + _TOGETHER]
            self._blocks.append(_Block(part, [self._pieces(each) for each in part]))
        self._moved.update(dict.fromkeys(self._known))

    def renew(self) -> None:
        """All are to be told again."""
        self._moved.update(dict.fromkeys(self._known))

    def _drop(self, now: int, address: int) -> None:
        each = self._known.pop(address)
        self._moved.pop(address, None)
        self._mains.discard(address)
        if each.task is not None and each.task.alive:
            self._tracker.end(now, each.task, Outcome.NOT_SEEN)

    def _look(self, now: int, idents: dict[int, int]) -> int:
        greenlets = self._greenlets
        current: dict[int, int] = {}
        for address in self._mains:
            with contextlib.suppress(*BAD):
                current[address] = greenlets.current(self._known[address].head)
        self._loops(now, idents)
        running = set(current.values())
        for address in running ^ self._running:
            if address in self._known:
                self._moved[address] = None
        self._running = running
        began, torn = time.thread_time_ns(), 0
        order = list(self._moved)
        for start in range(0, len(order), _BATCH):
            batch = [self._known[a] for a in order[start : start + _BATCH] if a in self._known]
            torn += self._walk(now, batch, running)
            if time.thread_time_ns() - began > _WALK_NS:
                break
        self.behind = max(0, len(self._moved) - torn)
        return torn

    # ------------------------------------------------------------------ loops

    def _loops(self, now: int, idents: dict[int, int]) -> None:
        """The hub of each thread: gevent's is a greenlet, whose thread it names."""
        values, loops = self._values, self._tracker.loops.known
        there: set[int] = set()
        workers: set[int] = set()
        for address in self._hubs_among():
            each, kind = self._known[address], values.name_of(self._known[address].head.type)
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

    def _hubs_among(self) -> list[int]:
        """Greenlets that may be loops, or that run a thread of gevent's pool."""
        wanted = {t for t in self._greenlets.types if self._values.name_of(t) in ("Hub", "_WorkerGreenlet")}
        if self._kinds != (wanted, self._laid_out):
            self._kinds = wanted, self._laid_out
            self._special = [a for a, each in self._known.items() if each.head.type in wanted]
        return [a for a in (*self._special, *self._threads) if a in self._known]

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
            waiting.state,
            waiting.via,
            waiting.object,
        )
        if not same or [k.place for k in task.links] != [k.place for k in links]:
            task.since_ns = now if before is not None else task.born_ns
        task.waiting = waiting
        task.loop = self._hubs.get(main, 0)
        mark = ((head.inner, head.raw[: self._greenlets.size]),)
        moved = task.mark != mark or [k.stand for k in task.links] != [k.stand for k in links]
        task.mark, task.steps = mark, task.steps + moved
        if links:
            if not task.links:
                task.generation = -1  # its function is known now
            task.links = links
        task.name = name or f"{_function(task.links)}-{task.id}"
        if waiting.state is not TaskState.RUNNING:
            task.held = [h for h in held if h.object != waiting.object]
        tracker.telling.anew(task)

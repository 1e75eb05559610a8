"""Which queues there are: those that the threads' frames refer to. Looked for twice a second, read four times.

Found are queues in local variables, in closures, in attributes of a method's object and in the globals of a module that
has a frame on some stack. A queue that only lies deeper (in a dict, in an object of an object) is found when a thread
is seen in its get or put.
"""

from __future__ import annotations

import struct
from time import thread_time_ns

from concview.cpython.code import Code, Place
from concview.cpython.locks import LockReader
from concview.cpython.memory import BadAddress
from concview.cpython.queues import Queue, QueueReader
from concview.cpython.threads import Thread
from concview.cpython.walk import Walk
from concview.engines.direct.bounded import remember
from concview.model import Depths, PoolDepth, QueueDepth
from concview.sink import Sink
from concview.source.calls import QUEUE, THREAD_POOL
from concview.source.origin import is_module, origin
from concview.text import clean

READ_NS = 250_000_000
LOOK_NS = 500_000_000
#: Functions in which a worker of a server's own pool of threads does its task -> their file.
_SERVERS = {"handler_thread": "waitress/task.py", "doWork": "twisted/_threads/_team.py"}
#: Both together may take this share of the budget.
_SHARE = 0.1
#: Threads looked at in one round; the others have their turn in the next.
_THREADS = 32
#: Frames of one stack from its inner and from its outer end, and slots of one frame.
_FRAMES = 6
_SLOTS = 48
#: A round ends early when it has so many addresses to look at.
_CANDIDATES = 1_000
#: A stack that did not change is looked at again after so long all the same: attributes and globals may have changed.
_SAME_NS = 10_000_000_000
#: Queues and pools kept; seen by no frame for so long, they make room.
MAX_QUEUES = 64
MAX_USERS = 64
STALE_NS = 60_000_000_000
#: An object whose attributes, a module whose globals were looked through: not again for so long, and so many a round.
_SEEN_NS = 5_000_000_000
_OBJECTS = 16
_NAMESPACES = 8
_MAX_GLOBALS = 2_000
#: Entries of each table of what frames, objects and modules were seen to have.
_MOST_KNOWN = 1024


class _Known:
    """A queue with what the frames said of it."""

    __slots__ = ("name", "queue", "seen_ns", "users", "workers")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.name = ""
        self.seen_ns = 0
        self.users: dict[int, int] = {}  #: tid -> last seen
        self.workers: dict[int, int] = {}  #: tid -> weak reference to the executor; 0: the pool is the queue itself

    def seen(self, tid: int, name: str, now: int) -> None:
        self.seen_ns = now
        if tid and (tid in self.users or len(self.users) < MAX_USERS):
            self.users[tid] = now
        if name and (not self.name or self.name == "self"):
            self.name = name


class _Candidates:
    """Addresses that frames refer to: address -> (tid, code, slot) of each that does, in one round."""

    def __init__(self) -> None:
        self.slots: dict[int, list[tuple[int, Code, int]]] = {}

    def add(self, address: int, tid: int, code: Code, slot: int) -> None:
        if address > 4096 and not address & 7:
            self.slots.setdefault(address, []).append((tid, code, slot))


class QueueFinder:
    """`poll` every tick; does little unless something is due."""

    def __init__(self, reader: LockReader, sink: Sink) -> None:
        self._reader, self._sink = reader, sink
        self._objects, self._memory, self._o = reader.objects, reader.memory, reader.offsets
        self._queues = QueueReader(reader.objects)
        self._known: dict[int, _Known] = {}
        self._read_at = self._look_at = 0
        self.budget = 0.0  #: as the engine's
        self._paid_at = 0  #: not before, because the last time was dear
        self.due = 0  #: when `poll` has something to do
        self._turn = 0
        self._looked: dict[int, int] = {}  #: object or namespace -> when it was looked through
        self._attributes: dict[int, dict[int, str]] = {}  #: object -> queues among its attributes
        self._globals: dict[int, dict[int, str]] = {}  #: namespace -> queues among its values
        self._names: dict[int, frozenset[str]] = {}  #: code -> global names it refers to
        self._stacks: dict[int, tuple[list[Place], int]] = {}  #: thread state -> what was looked at, and when
        self._told = False

    def forget(self) -> None:
        """Addresses may have been reused."""
        self._queues.forget()
        self._names.clear()

    def poll(self, now: int, threads: list[Thread]) -> None:
        if now < self.due:
            return
        began = thread_time_ns() if self.budget else 0
        if now >= self._look_at:
            self._look_at = now + LOOK_NS
            self._look(now, threads)
        if now >= self._read_at:
            self._read_at = now + READ_NS
            self._report(now, {t.tid for t in threads})
        if self.budget:
            self._paid_at = now + int((thread_time_ns() - began) / (_SHARE * self.budget))
        self.due = max(self._paid_at, min(self._look_at, self._read_at))

    # ------------------------------------------------------------------ reading

    def _report(self, now: int, alive: set[int]) -> None:
        queues = self._queues.read([k.queue for k in self._known.values()], now)
        there = {q.address for q in queues}
        for address in [a for a, k in self._known.items() if a not in there or now - k.seen_ns > STALE_NS]:
            del self._known[address]
        if not self._known and not self._told:
            return
        self._told = bool(self._known)
        rows, pools = [], []
        for known in self._known.values():
            q = known.queue
            for tid in [tid for tid in known.users if tid not in alive or now - known.users[tid] > STALE_NS]:
                del known.users[tid]
                known.workers.pop(tid, None)
            if q.size < 0:
                continue  # was never read whole yet
            users = tuple(known.users)
            rows.append(
                QueueDepth(
                    q.address,
                    clean(q.kind),
                    clean(known.name),
                    q.size,
                    q.most,
                    q.unfinished,
                    q.puts,
                    q.gets,
                    users,
                    q.failed,
                )
            )
            if known.workers:
                reference = next(reversed(known.workers.values()))
                name, most, started = (
                    self._queues.executor(reference) if reference else self._queues.pool(q.address, q.type)
                )
                pools.append(PoolDepth(q.address, clean(name), most, started, tuple(known.workers)))
        self._sink.emit(Depths(now, tuple(rows), tuple(pools)))

    # ------------------------------------------------------------------ finding

    def _look(self, now: int, threads: list[Thread]) -> None:
        if not threads:
            return
        first = self._turn % len(threads)
        found = _Candidates()
        owners: dict[int, tuple[int, str]] = {}
        self._turn = first
        for thread in threads[first : first + _THREADS]:
            if len(found.slots) >= _CANDIDATES:
                break
            self._turn += 1
            places, looked = self._stacks.get(thread.address, (None, 0))
            if places is thread.walk.places and now - looked < _SAME_NS:
                continue  # not a byte of it changed since
            remember(self._stacks, thread.address, (thread.walk.places, now), _MOST_KNOWN)
            try:
                self._frames(thread, found, owners, now)
            except (BadAddress, struct.error):
                continue  # it runs: what its stack shows has changed meanwhile
        self._take(found, now)
        self._owners(owners, now)

    def _frames(self, thread: Thread, found: _Candidates, owners: dict[int, tuple[int, str]], now: int) -> None:
        walk = thread.walk
        count = len(walk.places)
        for i in range(count):
            if _FRAMES <= i < count - _FRAMES:
                continue
            code, frame = walk.places[i].code, walk.addresses[i]
            if code.name == "_worker" and is_module(code.file, THREAD_POOL):
                self._worker(thread, walk, code, frame, now)
                continue
            if code.name in _SERVERS and is_module(code.file, _SERVERS[code.name]):
                self._server(thread, walk, code, frame, now)
                continue
            library = origin(code.file) in ("stdlib", "frozen")
            if library and not is_module(code.file, QUEUE):
                continue
            # The methods of a queue know it as their first local; other library code is not searched.
            slots = self._reader.slots(walk, frame, 0, min(code.nlocalsplus, 1 if library else _SLOTS))
            for slot, value in enumerate(slots):
                found.add(value, thread.tid, code, slot)
            if library:
                continue
            if slots and slots[0]:
                owners.setdefault(slots[0], (thread.tid, "self"))
            self._namespace(thread, walk, code, frame, now)

    def _worker(self, thread: Thread, walk: Walk, code: Code, frame: int, now: int) -> None:
        """`_worker(executor_reference, [context,] work_queue, ...)` of concurrent.futures."""
        slots = self._reader.slots(walk, frame, 0, min(code.nlocalsplus, 3))
        types = self._queues.types(slots[1:])
        for address in slots[1:]:
            if address in types and self._queues.is_queue(types[address]):
                known = self._open(address, types[address], now)
                if known is not None:
                    known.seen(thread.tid, "", now)
                    known.workers[thread.tid] = slots[0]
                return

    def _server(self, thread: Thread, walk: Walk, code: Code, frame: int, now: int) -> None:
        """A worker of a server's own pool of threads: the pool is among the variables of its function, or in a cell."""
        values = self._reader.slots(walk, frame, 0, min(code.nlocalsplus, _SLOTS))
        types = self._queues.types(values)
        cells = [a for a, t in types.items() if self._queues.kind_of(t) == "cell"]
        parts = self._memory.read_many([(a + self._o["cell.ob_ref"], 8) for a in cells])
        inside = [struct.unpack("<Q", p)[0] & self._o.tag_mask for p in parts if p is not None]
        for address, type_ in (types | self._queues.types(inside)).items():
            if self._queues.is_pool(type_) and (known := self._open(address, type_, now)) is not None:
                known.seen(thread.tid, "", now)
                known.workers[thread.tid] = 0
                return

    def _take(self, found: _Candidates, now: int) -> None:
        """The queues among the candidates, and what the cells among them hold: a closure's variables lie in cells."""
        types = self._queues.types(found.slots)
        cells = [a for a, t in types.items() if self._queues.kind_of(t) == "cell"]
        inside = self._memory.read_many([(a + self._o["cell.ob_ref"], 8) for a in cells])
        for cell, data in zip(cells, inside, strict=True):
            value = struct.unpack("<Q", data)[0] & self._o.tag_mask if data is not None else 0
            for tid, code, slot in found.slots[cell] if value else ():
                found.add(value, tid, code, slot)
        for address, type_ in (types | self._queues.types(a for a in found.slots if a not in types)).items():
            if not self._queues.is_queue(type_):
                continue
            known = self._open(address, type_, now)
            if known is None:
                continue
            for tid, code, slot in found.slots[address]:
                library = is_module(code.file, QUEUE)
                known.seen(tid, "" if library or known.name else self._variable(code, slot), now)

    def _open(self, address: int, type_: int, now: int) -> _Known | None:
        known = self._known.get(address)
        if known is not None and known.queue.type == type_:
            return known
        if len(self._known) >= MAX_QUEUES:
            return None
        queue = self._queues.open(address, type_)
        if queue is None:
            return None
        known = self._known[address] = _Known(queue)
        known.seen_ns = now
        return known

    def _variable(self, code: Code, slot: int) -> str:
        try:
            return code.variable(self._objects, slot)
        except BadAddress:
            return ""

    # ------------------------------------------------------------------ attributes and globals

    def _owners(self, owners: dict[int, tuple[int, str]], now: int) -> None:
        """Queues among the attributes of the objects whose methods run."""
        left = _OBJECTS
        for address, (tid, name) in owners.items():
            if now - self._looked.get(address, -_SEEN_NS) >= _SEEN_NS and left:
                left -= 1
                remember(self._looked, address, now, _MOST_KNOWN)
                try:
                    values = self._objects.attributes(address)
                except BadAddress:
                    values = {}
                if "mutex" in values:
                    continue  # a queue itself
                remember(self._attributes, address, self._among({v: k for k, v in values.items()}, now), _MOST_KNOWN)
            for queue, attribute in self._attributes.get(address, {}).items():
                self._seen_again(queue, tid, f"{name}.{attribute}", now)

    def _namespace(self, thread: Thread, walk: Walk, code: Code, frame: int, now: int) -> None:
        """Queues among the globals of a function, counted as used where the code refers to their names."""
        at = (self._o["f.globals"] - self._o["f.localsplus"]) // 8
        namespace = self._reader.slots(walk, frame, at, 1)[0]
        if now - self._looked.get(namespace, -_SEEN_NS) >= _SEEN_NS:
            recent = sum(now - then < LOOK_NS for a, then in self._looked.items() if a in self._globals)
            if recent >= _NAMESPACES:
                return
            remember(self._looked, namespace, now, _MOST_KNOWN)
            remember(self._globals, namespace, self._values(namespace, now), _MOST_KNOWN)
        queues = self._globals.get(namespace)
        if not queues:
            return
        names = self._names.get(code.address)
        if names is None:
            names = self._referred(code)
            remember(self._names, code.address, names, _MOST_KNOWN)
        for queue, name in queues.items():
            self._seen_again(queue, thread.tid if name in names else 0, name, now)

    def _values(self, namespace: int, now: int) -> dict[int, str]:
        try:
            if self._objects.type_name(namespace) != "dict":
                return {}
            items = self._objects.items(namespace)[:_MAX_GLOBALS]
            keys = {value: key for key, value in items}
            queues = [a for a, t in self._queues.types(keys).items() if self._queues.is_queue(t)]
            names = self._objects.strings([keys[a] for a in queues])
            return self._among({a: name or "" for a, name in zip(queues, names, strict=True)}, now)
        except (BadAddress, struct.error):
            return {}

    def _among(self, values: dict[int, str], now: int) -> dict[int, str]:
        """Those that are queues, opened."""
        found: dict[int, str] = {}
        for address, type_ in self._queues.types(values).items():
            if self._queues.is_queue(type_) and self._open(address, type_, now) is not None:
                found[address] = values[address]
        return found

    def _seen_again(self, address: int, tid: int, name: str, now: int) -> None:
        known = self._known.get(address)
        if known is not None:
            known.seen(tid, name, now)

    def _referred(self, code: Code) -> frozenset[str]:
        """The global names (and attribute names) that a function refers to: co_names."""
        try:
            names = self._objects.tuple_items(self._memory.word(code.address + self._o["co.names"]), 4096)
            return frozenset(n for n in self._objects.strings(list(names)) if n is not None)
        except BadAddress:
            return frozenset()

"""Queues in another process: how many items they hold and may hold, how many went in and out, and pools that use them.

A `queue.Queue` is a Python object around a deque (or a list, for its LIFO and priority kinds). The deque counts in
`state` every append and pop, which together with its length tells how many items went in and how many out, exactly.
`SimpleQueue` is C: a ring since 3.13 (its two indices tell the same while it turns slowly), before that a list that is
compacted now and then, which tells its length alone.

Libraries' pools of connections are queues of those that are free: urllib3's and redis's are a `queue.LifoQueue`,
SQLAlchemy's a copy of `queue.Queue` that does not count unfinished tasks; psycopg's has a deque and its greatest size.
Servers' pools of threads are a deque of tasks with a set of threads beside it: waitress's and Twisted's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from concview.cpython.memory import BadAddress
from concview.cpython.objects import Objects, Type, TypeKinds
from concview.model import CONNECTION_POOL

#: `queue.Queue` has these attributes in 3.8 to 3.15, and unfinished_tasks, which SQLAlchemy's has not; asyncio's and
#: multiprocessing's queues of that name have other ones.
_ATTRIBUTES = ("queue", "maxsize", "mutex", "not_empty", "not_full")
_UNFINISHED = "unfinished_tasks"
_QUEUES = frozenset({"Queue", "LifoQueue", "PriorityQueue"})
#: Of CONNECTION_POOL, psycopg_pool 3's; other libraries have classes of that name with other attributes.
_LENDERS = ("_pool", "_max_size", "_nconns", "_waiting")
#: What psycopg_pool 3 counts: connections that it tried to make, attempts that failed, and how long those took that did
#: not, or were used, which is there once one was made.
_TRIED, _FAILED, _MADE = "connections_num", "connections_errors", ("connections_ms", "usage_ms")
_SIMPLE = "_queue.SimpleQueue"
_DEQUE = "collections.deque"
#: Base classes followed from a type on.
#: Kind of a pool of threads by its class -> attributes: its tasks that no thread has taken yet, then what tells it from
#: other classes of that name. Source: waitress 1.4 to 3.0 (`task.py`), Twisted 15 to 26 (`_threads/_team.py`).
_POOLS = {
    "ThreadedTaskDispatcher": ("queue", "threads", "stop_count", "queue_cv"),
    "Team": ("_pending", "_idle", "_busyCount", "_coordinator"),
}
#: What such a pool is called.
_NAMES = {"ThreadedTaskDispatcher": "waitress", "Team": "twisted"}
#: More items than this is no length.
_MAX_SIZE = 1 << 40
#: Reads in a row in which a ring must turn slowly before its count is believed.
_BELIEVED = 3
#: Attributes (maxsize, the container, unfinished tasks) are read again this often, nanoseconds.
_AGAIN_NS = 1_000_000_000

_WORD = struct.Struct("<Q").unpack_from
_RING = struct.Struct("<5Q").unpack_from  # put index, get index, items, capacity, number of items


@dataclass(slots=True)
class Queue:
    """One queue, found once and read again and again."""

    address: int
    type: int  #: address of its type: another one there means that this queue is gone
    kind: str
    items: int = 0  #: address of the deque or list; 0 for a SimpleQueue
    counts: bool = False  #: `items` is a deque
    size: int = -1
    most: int = 0
    unfinished: int = -1
    failed: int = -1  #: of a pool of connections: attempts to make one, if all have failed; -1 not known
    puts: int = -1
    gets: int = -1
    again_ns: int = 0
    _state: int = -1  #: of the deque
    _before: int = 0  #: length at that state
    _ring: tuple[int, int, int] | None = None  #: put index, get index, capacity
    _streak: int = 0  #: reads in a row in which the ring turned slowly
    _total: tuple[int, int] = (0, 0)

    def moved(self, state: int, size: int) -> None:
        """A deque's counter of changes and its length, read together."""
        if self._state >= 0:
            moves, grown = (state - self._state) & (1 << 64) - 1, size - self._before
            puts, gets = (moves + grown) // 2, (moves - grown) // 2
            if moves < _MAX_SIZE and puts >= 0 and gets >= 0:
                self._total = (self._total[0] + puts, self._total[1] + gets)
                self.puts, self.gets = self._total
            else:  # another deque was put in its place
                self.puts = self.gets = -1
        else:
            self.puts, self.gets = self._total
        self._state, self._before, self.size = state, size, size

    def turned(self, put: int, get: int, capacity: int, size: int) -> None:
        """A ring's indices. How often it went round between two reads they do not say: they are believed while it holds
        something, keeps its size, and is seen to turn by a quarter at most, so many times in a row."""
        before, self._ring = self._ring, (put, get, capacity)
        had, self.size = self.size, size
        gets = (get - before[1]) % capacity if before is not None and before[2] == capacity else capacity
        puts = gets + size - had
        slow = had > 0 and size > 0 and 4 * gets <= capacity and puts >= 0
        self._streak = self._streak + 1 if slow else 0
        if self._streak >= _BELIEVED:
            self._total = (self._total[0] + puts, self._total[1] + gets)
            self.puts, self.gets = self._total
        else:
            self.puts = self.gets = -1


def _judge(name: str, own: bool) -> str:
    if name == _SIMPLE:
        return "simple"
    if name in _QUEUES:
        return "queue"
    if name == CONNECTION_POOL:
        return "lender"
    return name if name == "cell" or name in _POOLS else ""


def waiting_items(objects: Objects, address: int, most: int) -> list[int]:
    """The first items of a SimpleQueue; none of what is no such queue. Raises BadAddress."""
    memory, at = objects.memory, address + objects.offsets.header
    if objects.type_name(address) != _SIMPLE:
        return []
    if objects.offsets.features.simple_queue_ring:
        put, get, items, capacity, size = _RING(memory.read(at + 8, 40))
        if not capacity or size > capacity or max(put, get) >= capacity:
            return []
        first = memory.words(items + 8 * get, min(size, most, capacity - get)) if size else ()
        rest = min(size, most) - len(first)
        return [*first, *(memory.words(items, rest) if rest > 0 else ())]
    items, position = memory.words(at + 16, 2)
    size, array = memory.words(items + objects.offsets.header, 2)
    count = min(size - position, most) if position <= size < _MAX_SIZE else 0
    return list(memory.words(array + 8 * position, count)) if count > 0 else []


class QueueReader:
    def __init__(self, objects: Objects) -> None:
        self._objects, self._memory, self._o = objects, objects.memory, objects.offsets
        self._type, self._header = objects.offsets["ob.type"], objects.offsets.header
        self._ring = objects.offsets.features.simple_queue_ring
        self._kinds = TypeKinds(objects, _judge)

    def forget(self) -> None:
        self._kinds.forget()

    # ------------------------------------------------------------------ what is a queue

    def is_queue(self, type_: int) -> bool:
        kind = self.kind_of(type_)
        return kind in ("queue", "simple", "lender") or kind in _POOLS

    def is_pool(self, type_: int) -> bool:
        """A server's pool of threads, with the tasks that none has taken."""
        return self.kind_of(type_) in _POOLS

    def kind_of(self, type_: int) -> str:
        """'queue' (queue.Queue and its subclasses, as far as names tell), 'simple' (SimpleQueue), 'lender' (a pool of
        connections), the class of a server's pool of threads, 'cell', or ''."""
        return self._kinds.of(type_)

    def types(self, addresses: Iterable[int]) -> dict[int, int]:
        """Object -> its type, in one call; without what cannot be read."""
        wanted = [a for a in dict.fromkeys(addresses) if a > 4096 and not a & 7]
        parts = self._memory.read_many([(a + self._type, 8) for a in wanted])
        return {a: _WORD(part)[0] for a, part in zip(wanted, parts, strict=True) if part is not None}

    def open(self, address: int, type_: int) -> Queue | None:
        """The queue at an address whose type looks like one; None when it is not."""
        try:
            kind: Type = self._objects.type_at(type_)
            queue = Queue(address, type_, kind.name.rpartition(".")[2])
            if self.kind_of(type_) != "simple" and not self._attributes(queue):
                return None
            return queue
        except BadAddress:
            return None

    def _attributes(self, queue: Queue) -> bool:
        """Read again what changes seldom. False when this is no queue (yet, or any more)."""
        found = self._objects.attributes(queue.address)
        kind = self.kind_of(queue.type)
        names = _POOLS.get(kind) or (_LENDERS if kind == "lender" else _ATTRIBUTES)
        if kind in _POOLS:
            # stop_count lies in the class until a thread is told to end.
            if any(name not in found for name in names if name != "stop_count"):
                return False
            return self._items(queue, found[names[0]], True)
        if any(name not in found for name in names):
            return False
        items, counted = found[names[0]], _UNFINISHED in found
        most, unfinished = self._objects.integers([found[names[1]], found[_UNFINISHED if counted else names[1]]])
        if counted and unfinished < 0:
            return False
        # A connection that somebody waits for is handed over past the deque: what goes through that is not all.
        if not self._items(queue, items, names is _ATTRIBUTES):
            return False
        queue.most, queue.unfinished = max(0, most), unfinished if counted else -1
        if kind == "lender":
            queue.failed = self._failed(found.get("_stats", 0))
        return True

    def _failed(self, counts: int) -> int:
        told = self._objects.items_by_name(counts) if counts else {}
        if _TRIED not in told or any(name in told for name in _MADE):
            return 0 if told else -1
        tried, failed = self._objects.integers([told[_TRIED], told.get(_FAILED, told[_TRIED])])
        return failed if _FAILED in told and tried <= failed else 0

    def _items(self, queue: Queue, items: int, counts: bool) -> bool:
        kind = self._objects.type_name(items)
        if kind not in (_DEQUE, "list"):
            return False
        if items != queue.items:
            queue.items, queue.counts = items, kind == _DEQUE and counts
            queue._state = -1
        return True

    # ------------------------------------------------------------------ reading

    def read(self, queues: list[Queue], now: int) -> list[Queue]:
        """Fill in what they hold now, in one call; those that are gone are left out."""
        state = self._o["deque.state"]
        wanted: list[tuple[int, int]] = []
        for queue in queues:
            wanted.append((queue.address + self._type, 8))
            if queue.items:
                wanted.append((queue.items + self._header, state - self._header + 8 if queue.counts else 8))
            elif self._ring:
                wanted.append((queue.address + self._header + 8, 40))
            else:
                wanted.append((queue.address + self._header + 16, 16))
        parts = iter(self._memory.read_many(wanted))
        alive: list[Queue] = []
        for queue, type_, body in zip(queues, parts, parts, strict=True):
            if type_ is None or body is None or _WORD(type_)[0] != queue.type:
                continue
            try:
                if self._fill(queue, body) and self._check(queue, now):
                    alive.append(queue)
            except BadAddress:
                continue
        return alive

    def _fill(self, queue: Queue, body: bytes) -> bool:
        if queue.items:
            size = _WORD(body)[0]
            if size > _MAX_SIZE:
                return False
            if queue.counts:
                queue.moved(_WORD(body, len(body) - 8)[0], size)
            else:
                queue.size = size
            return True
        if self._ring:
            put, get, _, capacity, size = _RING(body)
            if not capacity or size > capacity or max(put, get) >= capacity or (put - get - size) % capacity:
                return True  # torn: it changed under the read; next time
            queue.turned(put, get, capacity, size)
            return True
        items, position = _WORD(body)[0], _WORD(body, 8)[0]
        size = self._memory.word(items + self._header)
        queue.size = size - position if position <= size < _MAX_SIZE else queue.size
        return True

    def _check(self, queue: Queue, now: int) -> bool:
        if not queue.items or now < queue.again_ns:
            return True
        queue.again_ns = now + _AGAIN_NS
        return self._attributes(queue)

    # ------------------------------------------------------------------ pools

    def executor(self, reference: int) -> tuple[str, int, int]:
        """(prefix of names, max_workers, threads started) of the ThreadPoolExecutor behind a weak reference;
        ('', 0, 0) when it is gone."""
        try:
            address = self._memory.word(reference + self._o["weakref.wr_object"])
            found = self._objects.attributes(address)
            most = self._objects.integers([found["_max_workers"]])[0]
            threads = self._memory.word(found["_threads"] + self._o["set.used"])
            name = self._objects.string(found["_thread_name_prefix"], 200)
        except (BadAddress, KeyError, struct.error):
            return "", 0, 0
        return name, max(0, most), threads if threads < 1 << 20 else 0

    def pool(self, address: int, type_: int) -> tuple[str, int, int]:
        """The same of a server's pool of threads. Twisted's greatest number is not in it: a task that waits says that
        it is reached, and while none does it does not matter."""
        kind = self.kind_of(type_)
        try:
            found = self._objects.attributes(address)
            if kind == "Team":
                idle = self._memory.word(found["_idle"] + self._o["set.used"])
                threads = self._objects.integers([found["_busyCount"]])[0] + idle
            else:
                threads = self._memory.word(found["threads"] + self._o["set.used"])
        except (BadAddress, KeyError, struct.error):
            return "", 0, 0
        return (_NAMES.get(kind, ""), threads, threads) if 0 < threads < 1 << 20 else ("", 0, 0)

"""Limit and use of what tasks share: locks, semaphores, queues, pools, limiters, executors. All from attributes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from concview.cpython.aio.values import BAD, Values
from concview.cpython.queues import Queue, QueueReader

#: Members of one collection that are looked into.
_MOST = 2000
#: More than any semaphore has.
_MOST_PERMITS = 1 << 20


@dataclass(slots=True)
class Numbers:
    """-1: not known."""

    limit: int = -1  #: 0: no bound
    used: int = -1
    owners: list[int] = field(default_factory=list)  #: addresses of tasks that the object itself names
    backlog: int = -1
    queue: int = 0
    deque: int = 0  #: a queue's deque, whose counters tell what went through it


class Pools:
    def __init__(self, values: Values) -> None:
        self._values, self._memory = values, values.memory
        self._queues = QueueReader(values.objects)

    def read(self, address: int, kind: str, library: str) -> Numbers:
        """What the object says of itself; nothing where it is not what it should be."""
        found = Numbers()
        reader = self._by_library.get(library) if kind == "Pool" else self._by_kind.get(kind)
        if reader is None and "Queue" in kind:
            reader = Pools._queue
        if reader is not None:
            with contextlib.suppress(*BAD):
                reader(self, address, self._values.attributes(address), found)
        return found

    def library_of(self, pool: int) -> str:
        """Of a pool that was found through a manager, by the attributes that it has."""
        attributes = self._values.attributes(pool)
        return next((name for name, marks in _MARKS.items() if all(m in attributes for m in marks)), "")

    # ------------------------------------------------------------------ locks

    def _lock(self, address: int, found_: dict[str, int], out: Numbers) -> None:
        out.limit = 1
        owner = found_.get("_owner_task") or found_.get("_owner") or 0
        if owner and self._values.type_name(owner) != "NoneType":
            out.owners.append(owner)
            out.used = 1
        elif "_locked" in found_:
            out.used = self._values.integer(found_["_locked"], 0)

    def _semaphore(self, address: int, found: dict[str, int], out: Numbers) -> None:
        if not found:
            self._gevent_semaphore(address, out)
            return
        free = self._values.integer(found.get("_value", 0))
        bound = found.get("_bound_value") or found.get("_max_value") or 0
        out.limit = self._values.integer(bound) if bound else -1
        if out.limit >= 0 <= free:
            out.used = max(0, out.limit - free)
        out.backlog = free  # see Numbers: of a semaphore, what is free; the caller adds who holds

    def _gevent_semaphore(self, address: int, out: Numbers) -> None:
        """gevent's are C structs: a class's own members lie behind those of its base: `counter`, and of a bounded one
        the value that it was made with (src/gevent/_gevent_c_semaphore.pxd)."""
        values = self._values
        kind = values.memory.word(address + values.o["ob.type"])
        sizes: dict[str, int] = {}  # class -> where its members begin
        for _ in range(8):
            base = values.memory.word(kind + values.o["type.tp_base"])
            if not base:
                break
            sizes[values.name_of(kind).rpartition(".")[2]] = values.objects.type_at(base).basicsize
            kind = base
        if "Semaphore" not in sizes:
            return
        free = values.int32(address + sizes["Semaphore"])
        if 0 <= free < _MOST_PERMITS:
            out.backlog = free
            if "BoundedSemaphore" in sizes:
                most = values.int32(address + sizes["BoundedSemaphore"])
                if free <= most < _MOST_PERMITS:
                    out.limit, out.used = most, most - free

    def _queue(self, address: int, found: dict[str, int], out: Numbers) -> None:
        items = found.get("_queue", 0)
        most = self._values.integer(found.get("_maxsize", 0))
        out.limit, out.used = max(0, most) if most >= 0 else -1, self._values.length(items)
        if self._values.type_name(items) == "collections.deque":
            out.deque = items
        out.backlog = self._values.integer(found.get("_unfinished_tasks", 0))

    # ------------------------------------------------------------------ pools

    def _asyncpg(self, address: int, found: dict[str, int], out: Numbers) -> None:
        values = self._values
        out.limit = values.integer(found["_maxsize"])
        holders = values.list_items(found["_holders"], _MOST)
        users = [values.attribute(h, "_in_use") for h in holders]
        out.used = sum(name not in ("NoneType", "") for name in values.type_names(users))

    def _aiohttp(self, address: int, found: dict[str, int], out: Numbers) -> None:
        values = self._values
        out.limit, out.used = values.integer(found["_limit"]), values.length(found["_acquired"])
        most = values.integer(found.get("_limit_per_host", 0), 0)
        if most > 0 and (out.limit <= 0 or out.used < out.limit):
            # It is one host's connections that are all out: tasks that want another host's go on.
            hosts = values.dict_values(found["_acquired_per_host"])[:_MOST]
            busiest = max((values.length(each) for each in hosts), default=0)
            if busiest >= most:
                out.limit, out.used = most, busiest

    def _httpx(self, address: int, found: dict[str, int], out: Numbers) -> None:
        values = self._values
        out.limit = values.integer(found["_max_connections"])
        requests = values.list_items(found["_requests"], _MOST)
        given = [values.attribute(r, "connection") for r in requests]
        out.used = sum(name not in ("NoneType", "") for name in values.type_names(given))

    def _redis(self, address: int, found: dict[str, int], out: Numbers) -> None:
        out.limit = self._values.integer(found["max_connections"])
        out.used = self._values.length(found["_in_use_connections"])

    def _psycopg(self, address: int, found: dict[str, int], out: Numbers) -> None:
        values = self._values
        out.limit = values.integer(found["_max_size"])
        out.used = max(0, values.integer(found["_nconns"], 0) - max(0, values.length(found["_pool"])))

    def _pymongo(self, address: int, found: dict[str, int], out: Numbers) -> None:
        values = self._values
        limit = values.number(found.get("max_pool_size", 0))
        out.limit = 0 if limit is None or limit > 1 << 40 else int(limit)
        out.used = values.integer(found.get("active_sockets") or found["requests"])

    def _sqlalchemy(self, address: int, found: dict[str, int], out: Numbers) -> None:
        values = self._values
        queue = values.attributes(found["_pool"])
        size = (
            values.integer(queue.get("maxsize", 0))
            if "maxsize" in queue
            else values.integer(values.attribute(queue["_queue"], "_maxsize"))
        )
        free = values.length(values.attribute(queue["_queue"], "_queue"))
        overflow, most = values.number(found["_overflow"]), values.number(found["_max_overflow"])
        if overflow is not None and most is not None and free >= 0:
            out.limit = 0 if most < 0 else size + int(most)
            out.used = max(0, size - free + int(overflow))

    def _limiter(self, address: int, found: dict[str, int], out: Numbers) -> None:
        values = self._values
        total = values.number(found["_total_tokens"])
        out.limit = 0 if total is None or total > 1 << 40 else int(total)
        out.used = values.length(found["_borrowers"])
        if values.type_name(found["_borrowers"]) == "set":
            out.owners = values.set_items(found["_borrowers"], _MOST)

    def _gevent(self, address: int, found: dict[str, int], out: Numbers) -> None:
        """gevent's Pool and eventlet's GreenPool: both know their greenlets."""
        values = self._values
        out.limit = values.integer(found["size"])
        members = found.get("greenlets") or found["coroutines_running"]
        out.used = values.length(members)
        out.owners = values.set_items(members, _MOST)

    def _barrier(self, address: int, found: dict[str, int], out: Numbers) -> None:
        out.limit, out.used = self._values.integer(found["_parties"]), self._values.integer(found["_count"])

    def _executor(self, address: int, found: dict[str, int], out: Numbers) -> None:
        values = self._values
        out.limit = values.integer(found["_max_workers"])
        out.queue = found["_work_queue"]
        type_ = values.memory.word(out.queue + values.o["ob.type"])
        queue = self._queues.open(out.queue, type_)
        if queue is not None and self._queues.read([queue], 0):
            out.backlog = queue.size

    _by_kind: dict[str, Callable[[Pools, int, dict[str, int], Numbers], None]] = {  # noqa: RUF012 - a table
        "Lock": _lock,
        "Condition": _lock,
        "Semaphore": _semaphore,
        "Limiter": _limiter,
        "Barrier": _barrier,
        "Executor": _executor,
    }
    _by_library: dict[str, Callable[[Pools, int, dict[str, int], Numbers], None]] = {  # noqa: RUF012
        "asyncpg": _asyncpg,
        "aiohttp": _aiohttp,
        "httpx": _httpx,
        "redis": _redis,
        "psycopg": _psycopg,
        "pymongo": _pymongo,
        "sqlalchemy": _sqlalchemy,
        "gevent": _gevent,
        "eventlet": _gevent,
    }


#: Attributes that tell one library's pool from another's.
_MARKS: dict[str, tuple[str, ...]] = {
    "asyncpg": ("_holders", "_maxsize"),
    "aiohttp": ("_acquired", "_limit"),
    "httpx": ("_max_connections", "_requests"),
    "redis": ("_in_use_connections", "max_connections"),
    "psycopg": ("_nconns", "_max_size"),
    "pymongo": ("size_cond", "max_pool_size"),
    "sqlalchemy": ("_max_overflow", "_pool"),
}


class QueueCounts:
    """Puts and gets of a queue, exactly, from its deque's counter of changes: see `cpython.queues.Queue`."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._known: dict[int, Queue] = {}

    def read(self, queues: dict[int, int]) -> dict[int, tuple[int, int]]:
        """Queue -> its deque; the answer: queue -> (puts, gets) since it was first asked for, -1 not known."""
        values, o = self._values, self._values.o
        for address in self._known.keys() - queues.keys():
            del self._known[address]
        low, high = o["deque.ob_size"], o["deque.state"]
        parts = values.memory.read_many([(deque + low, high - low + 8) for deque in queues.values()])
        found: dict[int, tuple[int, int]] = {}
        for (address, deque), part in zip(queues.items(), parts, strict=True):
            known = self._known.get(address)
            if known is None or known.items != deque:
                known = self._known[address] = Queue(address, 0, "", deque, True)
            if part is not None:
                size = int.from_bytes(part[:8], "little")
                if size < 1 << 40:
                    known.moved(int.from_bytes(part[-8:], "little"), size)
            found[address] = known.puts, known.gets
        return found

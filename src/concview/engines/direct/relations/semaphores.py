"""Locks and semaphores of multiprocessing that somebody waits for: who waits here, and whether they are taken here.

The kernel knows no holder. What all processes share is a page that sem_open(3) maps: its first word is the value, its
second one how many wait, in glibc and musl alike. Each process's own `_multiprocessing.SemLock` object counts what it
took and not gave back, and which thread did so last. So every process is asked for itself, and whoever reads several
streams joins them by device and inode. Where the object lies is found by its first field, the address of that page,
once, in steps, and only where somebody waits: first in the pools that Python's allocator has for objects of that size
(a tenth of the memory, and told by their headers), then in all of the process's memory.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import msgspec

from concview.cpython.memory import BadAddress
from concview.engines.direct.relations.search import Search
from concview.linux import syscall_line
from concview.linux.mapped import others_with
from concview.linux.syscalls import Shape
from concview.model import Semaphore, Semaphores
from concview.model import Wait as ModelWait

EVERY_NS = 2_000_000_000
#: Mappings are read again after so long; memory is searched again for an object that was not there.
_MAPS_NS, _AGAIN_NS = 10_000_000_000, 30_000_000_000
#: Who else has one is asked again after so long at the earliest: it costs a look at every process.
_SHARERS_NS = 10_000_000_000
#: In one report; threads whose system call is read; objects of one semaphore.
MAX_SEMAPHORES, MAX_THREADS, _MAX_OBJECTS = 16, 64, 8
#: Bytes searched at a time, and of one process at most.
_STEP, _MOST_BYTES = 1 << 20, 2 << 30
_MOST_MAPS = 16 << 20
#: A first search may take so long, CPU nanoseconds: it is over then in most processes, and paid back by the next ones.
_FIRST_NS = 4_000_000
_OBJECT = struct.Struct("<QQiii")  #: handle, ident of the thread that took it last, count, maxvalue, kind
_STATE = struct.Struct("<II")
#: obmalloc.c, `struct pool_header`: where the size class and the last offset of a block stand. A SemLock has 56 bytes,
#: and since it is collected as garbage (3.11) 16 more: class -> bytes of a block. Bytes of a pool up to 3.9 and later.
_HEAD_AT, _HEAD, _CLASSES = 36, struct.Struct("<III"), {3: 64, 4: 80}
_POOLS = (1 << 12, 1 << 14)
_HEADS = 1000  #: headers read at a time
_RECURSIVE = 0
_FUTEXES = frozenset({Shape.FUTEX, Shape.FUTEX_WAIT, Shape.FUTEX_WAITV})
_TYPES = frozenset({"_multiprocessing.SemLock", "_billiard.SemLock"})
_COUNT_AT = 16


class SemaphoreReader:
    """Implements `engines.base.Look`."""

    name: str = "semaphores"
    every_ns: int = EVERY_NS

    def __init__(self, search: Search) -> None:
        self._search, self._sink, self._table = search, search.sink, search.table
        self._memory, self._objects = search.reader.memory, search.reader.objects
        self._header = search.reader.offsets.header
        self._maps_at = 0
        self._places: dict[int, str] = {}  #: where one is mapped -> key
        self._regions: list[tuple[int, int]] = []  #: memory in which objects may lie
        self._found: dict[int, list[int]] = {}  #: where one is mapped -> objects
        self._searched: dict[int, int] = {}  #: -> when memory was last searched in full for it
        self._work: Iterator[tuple[int, int]] | None = None  #: (address, bytes) still to be searched, for:
        self._sought: frozenset[int] = frozenset()
        self._last: object = ()
        self._sharers: dict[str, int] = {}
        self._sharers_at = 0

    def look(self, at_ns: int, allowed_ns: int) -> bool:
        if at_ns >= self._maps_at:
            self._maps_at = at_ns + _MAPS_NS
            self._read_maps()
        states = self._states()
        wanted = {start: state for start, state in states.items() if state[1]}
        more = max(0, len(wanted) - MAX_SEMAPHORES)
        wanted = dict(list(wanted.items())[:MAX_SEMAPHORES])
        complete = True
        rows: tuple[Semaphore, ...] = ()
        if wanted:
            waiters = self._waiters(wanted)
            taken = {start: self._taken(start) for start in wanted}
            missing = [
                s for s in wanted if not taken[s] and (s not in self._searched or at_ns - self._searched[s] > _AGAIN_NS)
            ]
            if missing:
                complete = self._seek(frozenset(missing), at_ns, max(allowed_ns, _FIRST_NS))
                taken |= {start: self._taken(start) for start in missing}
            rows = tuple(self._row(s, state, waiters.get(s, []), taken[s]) for s, state in wanted.items())
        rows = self._with_sharers(rows, at_ns)
        if (rows, more) != self._last and (rows or self._last):
            self._last = (rows, more) if rows else ()
            self._sink.emit(Semaphores(at_ns, rows, more))
        return complete

    def _with_sharers(self, rows: tuple[Semaphore, ...], at_ns: int) -> tuple[Semaphore, ...]:
        """Of those of which none is left, and that nobody of this process has: who else could. One that is no lock
        others may give back what this process has taken: room in a queue."""
        gone = [
            r.key for r in rows if r.waiters and r.value == 0 and r.known and (r.count <= 0 or r.kind == "Semaphore")
        ]
        self._sharers = {key: number for key, number in self._sharers.items() if key in gone}
        if gone and at_ns >= self._sharers_at:
            self._sharers_at = at_ns + _SHARERS_NS
            self._sharers = others_with(gone, self._memory.pid)
        return tuple(msgspec.structs.replace(r, sharers=self._sharers.get(r.key, -1)) for r in rows)

    def _row(
        self, start: int, state: tuple[int, int], waiters: list[int], taken: list[tuple[int, int, int, int]]
    ) -> Semaphore:
        key = self._places[start]
        kind, most, count, tid = "", -1, 0, 0
        for ident, maximum, number, recursive in taken:
            most = maximum
            kind = "RLock" if recursive == _RECURSIVE else "Lock" if maximum == 1 else "Semaphore"
            count += number
            if number > 0:
                tid = self._table.by_ident.get(ident, 0)
        return Semaphore(
            key,
            kind,
            state[0],
            most,
            state[1],
            tuple(sorted(waiters)),
            count,
            tid,
            bool(taken),
            bool(taken) or start in self._searched,
            start,
            tuple(address + self._header + _COUNT_AT for address in self._found.get(start, ())),
        )

    # ------------------------------------------------------------------ where they are

    def _read_maps(self) -> None:
        try:
            with open(f"/proc/{self._memory.pid}/maps", "rb") as file:
                text = file.read(_MOST_MAPS).decode("utf-8", "replace")
        except OSError:
            return
        places: dict[int, str] = {}
        regions: list[tuple[int, int]] = []
        for line in text.splitlines():
            fields = line.split(None, 5)
            if len(fields) < 5:
                continue
            low, _, high = fields[0].partition("-")
            start, end, path = int(low, 16), int(high, 16), fields[5] if len(fields) > 5 else ""
            if fields[1].startswith("rw-s") and "/sem." in path:
                places[start] = f"{fields[3]}:{fields[4]}+{int(fields[2], 16)}"
            elif fields[1].startswith("rw-p") and (not path or path == "[heap]" or path.startswith("[anon")):
                regions.append((start, end))
        if places.keys() != self._places.keys():
            self._found = {s: o for s, o in self._found.items() if places.get(s) == self._places.get(s)}
            self._searched = {s: at for s, at in self._searched.items() if places.get(s) == self._places.get(s)}
        self._places, self._regions = places, regions

    def _states(self) -> dict[int, tuple[int, int]]:
        """(value, how many wait) of each."""
        starts = list(self._places)
        found = {}
        for start, data in zip(starts, self._memory.read_many([(s, 8) for s in starts]), strict=True):
            if data is not None:
                value, waiting = _STATE.unpack(data)
                found[start] = value & 0x7FFFFFFF, waiting
        return found

    def _waiters(self, wanted: dict[int, tuple[int, int]]) -> dict[int, list[int]]:
        """Threads that are in futex(2) at one of them."""
        found: dict[int, list[int]] = {}
        asked = 0
        for row in self._search.everyone():
            wait: ModelWait = self._sink.waited(row.wait)
            if wait.syscall != "futex" or asked >= MAX_THREADS:
                continue
            if wait.lock and not wait.lock_kind.startswith("multiprocessing."):
                continue
            asked += 1
            line = syscall_line.read(self._memory.pid, row.tid)
            if line is not None and line.shape in _FUTEXES:
                start = line.arguments[0] & ~0xFFF
                if start in wanted:
                    found.setdefault(start, []).append(row.tid)
        return found

    # ------------------------------------------------------------------ the objects

    def _taken(self, start: int) -> list[tuple[int, int, int, int]]:
        """(ident, maxvalue, count, kind) of this process's objects."""
        found = []
        for address in self._found.get(start, ()):
            try:
                if self._objects.type_name(address) not in _TYPES:
                    continue
                data = self._memory.read(address + self._header, _OBJECT.size)
            except BadAddress:
                continue
            handle, ident, count, most, kind = _OBJECT.unpack(data)
            if handle == start:
                found.append((ident, most, count, kind))
        return found

    def _seek(self, sought: frozenset[int], at_ns: int, allowed_ns: int) -> bool:
        """Go on through the memory; False: there is more of it."""
        if sought != self._sought or self._work is None:
            self._sought, self._work = sought, self._parts()
        patterns = {start: start.to_bytes(8, "little") for start in sought}
        began = time.thread_time_ns()
        for start, size in self._work:
            data = self._memory.read_some(start, size) if size else b""
            for place, pattern in patterns.items():
                self._in(data, start, place, pattern)
            if all(self._found.get(place) for place in sought):
                break
            if time.thread_time_ns() - began > allowed_ns:
                return False
        for place in sought:
            self._searched[place] = at_ns
        self._sought, self._work = frozenset(), None
        return True

    def _parts(self) -> Iterator[tuple[int, int]]:
        """What to search, the likeliest first; a size of 0: nothing, but it has cost something to find out."""
        left = _MOST_BYTES
        regions = []
        for start, end in self._regions:
            if left > 0:
                regions.append((start, min(end, start + left)))
                left -= end - start
        offsets = self._search.reader.offsets
        if not offsets.free_threaded:
            pool = _POOLS[offsets.features.large_pools]
            for start, end in regions:
                yield from self._pools(start, end, pool)
        for start, end in regions:
            for at in range(start, end, _STEP):
                yield at, min(_STEP, end - at)

    def _pools(self, start: int, end: int, pool: int) -> Iterator[tuple[int, int]]:
        """Those of a region that have blocks of that size."""
        first = (start + pool - 1) // pool * pool
        for low in range(first, end - pool + 1, pool * _HEADS):
            starts = range(low, min(low + pool * _HEADS, end - pool + 1), pool)
            for at, data in zip(starts, self._memory.read_many([(s + _HEAD_AT, 12) for s in starts]), strict=True):
                if data is not None:
                    size_class, following, last = _HEAD.unpack(data)
                    if last == pool - _CLASSES.get(size_class, 0) and following <= pool:
                        yield at, pool
            yield low, 0

    def _in(self, data: bytes, start: int, place: int, pattern: bytes) -> None:
        at = data.find(pattern)
        while at >= 0:
            address = start + at - self._header
            known = self._found.setdefault(place, [])
            if not at & 7 and address not in known and self._objects.type_name(address) in _TYPES:
                known.append(address)
                del known[:-_MAX_OBJECTS]
            at = data.find(pattern, at + 8)

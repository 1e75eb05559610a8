"""The state of an object that threads wait for: permits of a semaphore, the flag of an event, parties of a barrier."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from concview.cpython.locks import HEAD, PRIMITIVES, LockReader
from concview.cpython.memory import BadAddress
from concview.cpython.queues import Queue, QueueReader

#: Larger numbers than these are none (a semaphore's permits, a barrier's parties).
_MOST = 1 << 31
#: `concurrent.futures._base`: what `_state` may be -> not begun, running, over.
_FUTURE = {"PENDING": 0, "RUNNING": 1, "CANCELLED": 2, "CANCELLED_AND_NOTIFIED": 2, "FINISHED": 2}


@dataclass(frozen=True, slots=True)
class Status:
    """As in `model.Related`; -1 where it does not apply."""

    type: str = ""  #: the class
    value: int = -1
    most: int = -1
    unfinished: int = -1
    owner: int = 0  #: threading.get_ident() of the thread that the object itself says has it
    name: str = ""  #: what the object calls itself: the module of an import lock


class Waitables:
    def __init__(self, reader: LockReader) -> None:
        self._reader, self._objects, self._memory = reader, reader.objects, reader.memory
        self._o = reader.offsets
        self._queues = QueueReader(reader.objects)

    def forget(self) -> None:
        self._queues.forget()

    def read(self, address: int, kind: str) -> Status:
        """`kind`: of `Wait.lock_kind`. Never raises: what cannot be read is not known."""
        try:
            type_ = self._objects.type_of(address).name.rpartition(".")[2]
        except (BadAddress, struct.error):
            return Status()
        try:
            return self._state(address, kind, type_)
        except (BadAddress, struct.error, KeyError):
            return Status(type_)

    def _state(self, address: int, kind: str, type_: str) -> Status:
        if kind in PRIMITIVES.values():
            head = self._memory.read(address, HEAD)
            lock = self._reader.typed(head)
            if lock is None or lock[0].name not in PRIMITIVES:
                return Status(type_)
            state = self._reader.state(*lock)
            return Status(type_, int(state.locked), owner=state.owner)
        if kind == "SimpleQueue":
            return self._queue(address, type_)
        found = self._objects.attributes(address)
        if kind.startswith("multiprocessing."):
            return self._shared(found["_semlock"], type_)
        if kind == "Semaphore":
            value, most = self._numbers(found, "_value", "_initial_value")
            return Status(type_, value, most)
        if kind == "Event":
            return Status(type_, self._numbers(found, "_flag")[0])
        if kind == "Condition":
            return Status(type_, self._length(found.get("_waiters", 0)))
        if kind == "Barrier":
            value, most = self._numbers(found, "_count", "_parties")
            return Status(type_, value, most)
        if kind == "Future":
            return Status(type_, _FUTURE.get(self._objects.string(found["_state"], 40), -1))
        if kind == "ModuleLock":
            owner = self._objects.integers([found["owner"]])[0] if self._is_int(found.get("owner", 0)) else 0
            return Status(type_, int(owner > 0), owner=max(0, owner), name=self._text(found.get("name", 0)))
        if kind in ("Queue", "ConnectionPool"):
            return self._queue(address, type_)
        return Status(type_)

    def _shared(self, address: int, type_: str) -> Status:
        """A `_multiprocessing.SemLock`: handle of the sem_t, last_tid, count, maxvalue. The value is the first word of
        the sem_t, which glibc keeps in memory that all processes share."""
        words = self._memory.words(address + self._reader.offsets.header, 3)
        value, most = self._memory.int32(words[0]), words[2] >> 32
        owner = self._reader.semlock_owner(address)
        return Status(type_, value if 0 <= value < _MOST else -1, most if 0 < most < _MOST else -1, owner=owner)

    def _queue(self, address: int, type_: str) -> Status:
        queue: Queue | None = self._queues.open(address, self._objects.type_of(address).address)
        if queue is None or not self._queues.read([queue], 0):
            return Status(type_)
        return Status(type_, queue.size, queue.most, queue.unfinished)

    def _numbers(self, found: dict[str, int], *names: str) -> list[int]:
        values = self._objects.integers([found.get(name, 0) for name in names])
        return [v if 0 <= v < _MOST else -1 for v in values]

    def _is_int(self, address: int) -> bool:
        return bool(address) and self._objects.type_name(address) == "int"

    def _text(self, address: int) -> str:
        return self._objects.string(address, 200) if address else ""

    def _length(self, address: int) -> int:
        """Of a deque or list."""
        if not address or self._objects.type_name(address) not in ("collections.deque", "list"):
            return -1
        size = self._memory.word(address + self._o["list.ob_size"])
        return size if size < _MOST else -1

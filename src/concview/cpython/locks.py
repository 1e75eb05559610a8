"""Lock objects in another process: which kind, locked or not, by whom, and where they lie on a frame."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from concview.cpython.memory import BadAddress, Memory
from concview.cpython.objects import Objects, Type
from concview.cpython.offsets import Offsets
from concview.cpython.walk import Walk

LOCK, RLOCK = "_thread.lock", "_thread.RLock"
PRIMITIVES = {LOCK: "Lock", RLOCK: "RLock"}
#: Bytes read of an object to tell its kind and a lock's state, whichever layout it has.
HEAD = 80
#: Frames of one stack looked at for held locks.
MAX_LOCK_FRAMES = 400

_WORD = struct.Struct("<Q").unpack_from
_INT = struct.Struct("<i").unpack_from


@dataclass(frozen=True, slots=True)
class LockState:
    kind: str  #: 'Lock' or 'RLock'
    locked: bool
    owner: int  #: pthread ident of an RLock's owner; 0 for a Lock, which knows none
    semaphore: int  #: address of its sem_t; 0 when it is a PyMutex


class LockReader:
    """Reads locks and what refers to them."""

    def __init__(self, memory: Memory, offsets: Offsets, objects: Objects) -> None:
        self.memory, self.offsets, self.objects = memory, offsets, objects
        self._header = offsets.header
        self._type = offsets["ob.type"]
        self._slots = offsets["f.localsplus"]
        self._mask = offsets.tag_mask
        self._many = {n: struct.Struct(f"<{n}Q").unpack_from for n in (1, 2)}

    # ------------------------------------------------------------------ frames

    def slots(self, walk: Walk, frame: int, first: int, count: int) -> tuple[int, ...]:
        """Values of a frame's locals and stack, without their tag bits; from the sampled copy where it is in it."""
        start = frame + self._slots + 8 * first
        mask = self._mask
        unpack = self._many.get(count)
        found = walk.find(frame, start, 8 * count)
        if found is None:
            for low, high, data in walk.older:
                if low <= start and start + 8 * count <= high:
                    found = data, start - low
        if found is None:
            return tuple([w & mask for w in self.memory.words(start, count)])
        data, at = found
        if self.memory.log is not None:
            self.memory.log.append((start, 8 * count, data[at : at + 8 * count]))
        if unpack is None:
            unpack = struct.Struct(f"<{count}Q").unpack_from
        return tuple([w & mask for w in unpack(data, at)])

    def first_local(self, walk: Walk, frame: int) -> int:
        """What a method calls `self`; 0 when it was deleted."""
        value = self.slots(walk, frame, 0, 1)[0]
        if value and self.objects.type_name(value) == "cell":  # captured by a closure
            value = self.memory.word(value + self.offsets["cell.ob_ref"]) & self.offsets.tag_mask
        return value

    # ------------------------------------------------------------------ objects

    def heads(self, addresses: Iterable[int]) -> dict[int, tuple[Type, bytes]]:
        """Type and first bytes of objects; without those that are none."""
        return self.heads_and(addresses, [])[0]

    def heads_and(
        self, addresses: Iterable[int], more: list[tuple[int, int]]
    ) -> tuple[dict[int, tuple[Type, bytes]], list[bytes | None]]:
        """The same, and what `more` asks for (address, size), copied right after them in the same call."""
        wanted = [a for a in dict.fromkeys(addresses) if a > 4096 and not a & 7]
        memory, size = self.memory, HEAD * len(wanted)
        if wanted and not more and memory.log is None:
            data = memory.read_joined(array("Q", [n for a in wanted for n in (a, HEAD)]), size)
            if data is not None:
                heads = zip(wanted, [data[i : i + HEAD] for i in range(0, size, HEAD)], strict=True)
                return {a: known for a, head in heads if (known := self.typed(head)) is not None}, []
        parts = memory.read_many([*((a, HEAD) for a in wanted), *more])
        found: dict[int, tuple[Type, bytes]] = {}
        for address, head in zip(wanted, parts[: len(wanted)], strict=True):
            data = head if head is not None else self.memory.read_some(address, HEAD).ljust(HEAD, b"\0")
            try:
                found[address] = self.objects.type_at(_WORD(data, self._type)[0]), data
            except BadAddress:
                continue
        return found, parts[len(wanted) :]

    def typed(self, head: bytes | None) -> tuple[Type, bytes] | None:
        """First bytes of an object with its type; None for what is none."""
        if head is None:
            return None
        try:
            return self.objects.type_at(_WORD(head, self._type)[0]), head
        except BadAddress:
            return None

    def type_word(self, address: int) -> tuple[int, int]:
        """What to read (address, size) to know an object's type: see `type_in`."""
        return (address + self._type, 8)

    def type_in(self, word: bytes | None) -> Type | None:
        if word is None:
            return None
        try:
            return self.objects.type_at(_WORD(word)[0])
        except BadAddress:
            return None

    def kinds(self, addresses: Iterable[int]) -> dict[int, Type]:
        """Types of objects; without those that are none. Reads no more than that: the rest of an object may change
        all the time (see `replay`)."""
        wanted = [a for a in dict.fromkeys(addresses) if a > 4096 and not a & 7]
        words = self.memory.read_many([self.type_word(a) for a in wanted])
        types = {a: self.type_in(word) for a, word in zip(wanted, words, strict=True)}
        return {a: kind for a, kind in types.items() if kind is not None}

    def semaphore(self, address: int, kind: Type) -> int:
        """`LockState.semaphore`, without the rest."""
        sem = kind.basicsize - self._header > (8 if kind.name == LOCK else 24)
        return self.memory.word(address + self._header) if sem else 0

    def state(self, kind: Type, head: bytes) -> LockState:
        """Layouts by the type's size, which tells them apart in every build: sem_t up to 3.13.0 (Lock) and 3.13
        (RLock), PyMutex later. `head`: the first bytes of the object."""
        body, size = self._header, kind.basicsize - self._header
        if kind.name == LOCK:
            if size <= 8:
                return LockState("Lock", bool(head[body] & 1), 0, 0)
            return LockState("Lock", bool(head[body + 16]), 0, _WORD(head, body)[0])
        owner = _WORD(head, body + 8)[0]
        if size <= 24:
            return LockState("RLock", bool(head[body] & 1), owner, 0)
        return LockState("RLock", _WORD(head, body + 16)[0] > 0, owner, _WORD(head, body)[0])

    def held(self, kind: Type, head: bytes, ident: int) -> bool:
        """Whether a lock may be held by that thread: locked, and an RLock by no other one. As `state`, but cheap."""
        body, size = self._header, kind.basicsize - self._header
        if kind.name == LOCK:
            return bool(head[body] & 1 if size <= 8 else head[body + 16])
        if kind.name != RLOCK or _WORD(head, body + 8)[0] != ident:
            return False
        return bool(head[body] & 1 if size <= 24 else _WORD(head, body + 16)[0])

    def bound_self(self, kind: Type, head: bytes) -> int:
        """Whose method a bound method is; 0 when it is none."""
        if kind.name == "builtin_function_or_method":
            return int(_WORD(head, self.offsets["cfunction.m_self"])[0])
        if kind.name == "method":
            return int(_WORD(head, self.offsets["method.im_self"])[0])
        return 0

    def semlock_owner(self, address: int) -> int:
        """Ident of the thread of this process that holds a `_multiprocessing.SemLock`; 0 when none does.

        SemLockObject: handle, last_tid (unsigned long), count (int), maxvalue, kind, name.
        """
        data = self.memory.read(address + self._header, 24)
        return int(_WORD(data, 8)[0]) if _INT(data, 16)[0] > 0 else 0

"""Who has a lock that stands in C beside a note of its owner, which is a thread as pthread_self(3) gives it.

So do: a FILE of C's stdio (glibc's `_IO_lock_t`: `lock`, `cnt`, `owner`); the lock of a buffered file (CPython's
Modules/_io/bufferedio.c: `lock`, `owner`); re-entrant locks of Cython's (`FastRLock`: `_real_lock`, `_owner`, as in
h5py, lxml and gevent). The first is found at the futex itself. Of the others the futex belongs to a lock of Python's C
interface that some structure points to: pointers to that structure lie on the stack of whoever waits, and the note is
the word behind its pointer to the lock. From 3.15 on such a lock is a PyMutex: the futex is the waiting thread's own,
and the lock's address is on its stack, too. A word that is the identity of a thread of Python's is no accident: it is
the address of that thread's own memory.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from concview.cpython.objects import Objects
from concview.linux.pthread_locks import CONTENDED, Read
from concview.linux.syscall_line import SyscallLine
from concview.linux.syscalls import FUTEX_COMMAND_MASK, Shape

_STREAM = struct.Struct("<iiQ")  #: lock, cnt, owner
_WAITS = (0, 9)  #: FUTEX_WAIT, FUTEX_WAIT_BITSET
#: A stream is taken again by its owner at most so often. The count begins with 1, since glibc 2.43 with 0.
_DEEPEST = 1 << 16
#: Of a structure, bytes that are looked at; structures of one stack; locks that are remembered.
_SIZE, _MOST, _KNOWN = 256, 200, 1024
#: A lock of which nobody was noted is looked at again after so long.
_AGAIN_NS = 5_000_000_000
#: Include/cpython/lock.h: _Py_LOCKED and _Py_HAS_PARKED.
_PARKED = b"\3"
#: Of multiprocessing, beside the semaphore: who took it last, which others may have given back.
_TAKEN_LAST = "SemLock"
_TYPE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z")


class Noted(NamedTuple):
    kind: str  #: 'stdio lock', 'lock'
    owner: int  #: tid; 0 nobody at this moment
    lock: int  #: its address: the same for all that wait for it, which that of the futex is not where each parks alone
    of: str  #: the type of the object that it is in: 'BufferedWriter'; '' for none


class NotedOwners:
    def __init__(self, objects: Objects, tids: Callable[[], Mapping[int, int]], read: Read) -> None:
        """`tids`: what threading.get_ident() gives -> tid, of all threads of Python's."""
        self._objects, self._tids, self._read = objects, tids, read
        #: address of a lock -> where its owner is noted, and in what; 0 where nowhere, and until when that is believed
        self._known: dict[int, tuple[int, str, int]] = {}

    def of(self, tid: int, line: SyscallLine, stack: bytes, now: int) -> Noted | None:
        """Who has what this thread waits for in futex(2); None where that is noted nowhere."""
        if line.shape is not Shape.FUTEX or line.arguments[1] & FUTEX_COMMAND_MASK not in _WAITS:
            return None
        address = line.arguments[0]
        tids = self._tids()
        if line.arguments[2] & 0xFFFFFFFF == CONTENDED:
            data = self._read(address, _STREAM.size)
            if len(data) == _STREAM.size:
                word, count, ident = _STREAM.unpack(data)
                owner = tids.get(ident, 0)
                if word == CONTENDED and 0 <= count < _DEEPEST and owner not in (0, tid):
                    return Noted("stdio lock", owner, address, "")
        words = dict.fromkeys(w for (w,) in struct.iter_unpack("<Q", stack[: len(stack) & ~7]))
        place, of = self._place(address, words, tids, now)
        data = self._read(place - 8, 16) if place else b""
        if len(data) < 16:
            return None
        lock, ident = struct.unpack("<QQ", data)
        if lock != address and not self._parks(lock, words):
            self._known.pop(address, None)
            return None
        owner = tids.get(ident, 0)
        if ident and not owner:
            return None
        # While it is handed over nobody is noted, or already whoever still waits.
        return Noted("lock", owner if owner != tid else 0, lock, of)

    def _place(self, address: int, words: Mapping[int, None], tids: Mapping[int, int], now: int) -> tuple[int, str]:
        """Where the owner of the lock at an address is noted, and the type of the object that it is in; 0: nowhere."""
        known = self._known.get(address)
        if known is not None and (known[0] or now <= known[2]):
            return known[:2]
        place, of, parked = self._search(address, words, tids)
        if not parked:  # there the address is that of a thread's own, for whatever it waits
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[address] = place, of, now + _AGAIN_NS
        return place, of

    def _search(self, address: int, words: Mapping[int, None], tids: Mapping[int, int]) -> tuple[int, str, bool]:
        candidates = [w for w in words if w > 1 << 16 and not w & 7 and not w >> 47]
        unnamed, is_parked = 0, False  # by a pointer into the object, or to what lies before it
        for at in candidates[:_MOST]:
            data = self._read(at, _SIZE)
            found = [struct.unpack_from("<QQ", data, offset) for offset in range(0, len(data) - 15, 8)]
            for i, (lock, ident) in enumerate(found):
                if ident not in tids:
                    continue
                parked = lock != address and self._parks(lock, words)
                if lock == address or parked:
                    name = self._type(at)
                    if name == _TAKEN_LAST:
                        return 0, "", False
                    if name:
                        return at + 8 * i + 8, name, parked
                    unnamed, is_parked = unnamed or at + 8 * i + 8, parked
        return unnamed, "", is_parked

    def _parks(self, lock: int, words: Mapping[int, None]) -> bool:
        """Whether the thread whose stack this is waits for that PyMutex."""
        return lock > 1 << 16 and lock in words and self._read(lock, 1) == _PARKED

    def _type(self, at: int) -> str:
        name = self._objects.type_name(at)
        return name.rpartition(".")[2] if _TYPE.match(name) else ""

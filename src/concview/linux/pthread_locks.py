"""Who has a lock of the C library's that a thread waits for in futex(2): the lock itself records it.

Layouts: glibc's sysdeps/nptl/bits/struct_mutex.h (`__lock`, `__count`, `__owner`, `__nusers`, `__kind`, `__spins`,
`__list`), the x86 and the generic one alike on 64 bits, and struct_rwlock.h (`__readers`, `__writers`,
`__wrphase_futex`, `__writers_futex`, ..., `__cur_writer`). The owner is a thread number as gettid(2) gives it in the
target's own PID namespace. What is no such lock (a condition, a semaphore, a lock of Rust's or Go's) has other words
there: a lock is believed only where all of its fields fit. musl records the owner of no default mutex: nothing is told.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from concview.linux.syscall_line import SyscallLine
from concview.linux.syscalls import FUTEX_COMMAND_MASK, Shape

#: `read` gives (address, bytes) of the target, fewer bytes where it cannot.
Read = Callable[[int, int], bytes]

_MUTEX = struct.Struct("<iIiIiiQQ")  #: __lock, __count, __owner, __nusers, __kind, __spins and __elision, __list
#: __readers, __writers, __wrphase_futex, __writers_futex, __pad3, __pad4, __cur_writer, __shared
_RWLOCK = struct.Struct("<IIIIIIii")
_WRPHASE_AT, _WRITERS_AT = 8, 12
#: include/uapi/linux/futex.h
_WAIT, _LOCK_PI, _WAIT_BITSET, _LOCK_PI2 = 0, 6, 9, 13
_WAITERS, _TID = 0x80000000, 0x3FFFFFFF
#: include/linux/threads.h, PID_MAX_LIMIT on 64 bits: a larger number is no thread's, but half of a pointer.
_MOST_TID = 1 << 22
#: glibc, lowlevellock.h: taken, and somebody waits.
CONTENDED = 2
#: nptl/pthreadP.h: type in the low two bits; robust, priority inheritance, priority protection, shared; elision.
_KINDS, _ROBUST, _PI = 0x3F3, 0x10, 0x20
#: More users of one mutex, or deeper recursion, are no mutex; a thread spins at most 100 times (tunables.list).
_MOST_USERS, _MOST_SPINS = 1 << 16, 1 << 15
#: nptl/pthread_rwlock_common.c: PTHREAD_RWLOCK_WRPHASE and PTHREAD_RWLOCK_WRLOCKED, both while a writer has it.
_WRITING = 3


class Lock(NamedTuple):
    kind: str  #: 'mutex', 'rwlock'
    owner: int  #: thread number in the target's PID namespace
    address: int


def lock_of(line: SyscallLine, read: Read) -> Lock | None:
    """The lock that a thread in this system call waits for, with its owner; None where it is none that records one."""
    if line.shape is not Shape.FUTEX:
        return None
    address, command, value = line.arguments[0], line.arguments[1] & FUTEX_COMMAND_MASK, line.arguments[2] & 0xFFFFFFFF
    if command in (_LOCK_PI, _LOCK_PI2):
        return _mutex(address, read, _PI)
    if command not in (_WAIT, _WAIT_BITSET):
        return None
    if value == CONTENDED:
        found = _mutex(address, read, 0)
    elif value & _WAITERS:
        found = _mutex(address, read, _ROBUST)
    else:
        found = None
    return found or _rwlock(address - _WRPHASE_AT, read) or _rwlock(address - _WRITERS_AT, read)


def _mutex(address: int, read: Read, flag: int) -> Lock | None:
    data = read(address, _MUTEX.size)
    if len(data) < _MUTEX.size:
        return None
    word, count, owner, users, kind, spins, after, before = _MUTEX.unpack(data)
    if kind & ~_KINDS or kind & (_ROBUST | _PI) & ~flag or (flag and not kind & flag):
        return None
    if users > _MOST_USERS or count > _MOST_USERS or abs(spins & 0xFFFF) > _MOST_SPINS:
        return None
    if not flag and (word & 0xFFFFFFFF != CONTENDED or not users or after or before):
        return None
    if flag and word & _TID != owner:
        return None  # changes hands
    return Lock("mutex", owner, address) if 0 < owner < _MOST_TID else None


def _rwlock(address: int, read: Read) -> Lock | None:
    data = read(address, _RWLOCK.size)
    if len(data) < _RWLOCK.size:
        return None
    readers, _, phase, futex, pad, pad_too, writer, shared = _RWLOCK.unpack(data)
    # The third and fourth hold 1 for taken and 2 for 'somebody sleeps'.
    if readers & _WRITING != _WRITING or phase > _WRITING or futex > _WRITING or pad or pad_too or shared not in (0, 1):
        return None
    return Lock("rwlock", writer, address) if 0 < writer < _MOST_TID else None

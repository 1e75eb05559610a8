"""Waits for locks on files: who has them, here and in other processes."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

from msgspec.structs import replace

from concview.cpython.code import Code
from concview.engines.direct.relations.handles import MAX_USERS, Users
from concview.engines.direct.relations.links import MAX_OWNERS
from concview.engines.direct.relations.polled import Tried
from concview.engines.direct.relations.search import Search, Waiting
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import kernel_locks, other_ends
from concview.linux.stopped import stopped_by
from concview.model import FileLock, FileLocks, User, Wait
from concview.sink import Sink
from concview.text import clean

#: In one report.
MAX_LOCKS = 32
#: How long it stays known which processes share an open file. Every process of the host is asked for it.
HEIRS_S = 5.0
_LOCKING = frozenset({"flock", "lockf", "fcntl"})


class FileLockReader:
    def __init__(self, pid: int, sink: Sink, search: Search) -> None:
        self._pid, self._sink, self._search = pid, sink, search
        self._last: object = None
        #: (pid of who took it, inode) -> when it was looked for who else has it, and their pids
        self._heirs: dict[tuple[int, int], tuple[float, list[int]]] = {}
        self._seen_at: dict[tuple[int, int], int] = {}  #: (pid, inode) -> the descriptor by which it has the lock

    def report(
        self, now: int, waiting: Waiting, users: Users, databases: Sequence[FileLock] = (), tried: Tried | None = None
    ) -> None:
        locks: list[FileLock] = list(databases)
        why = ""
        if waiting or tried:
            try:
                table = kernel_locks.read()
            except OSError as error:
                table, why = [], f"/proc/locks: {error.strerror}"
            by_inode: dict[int, list[tuple[ThreadRow, Wait]]] = {}
            for fd, who in waiting.items():
                if inode := kernel_locks.inode_of(self._pid, fd):
                    by_inode.setdefault(inode, []).extend(who)
            for inode, who in list(by_inode.items())[:MAX_LOCKS]:
                locks += self._of_file(inode, who, table, users)
            for inode, (path, who) in list((tried or {}).items())[:MAX_LOCKS]:
                had = [one for one in self._of_file(inode, who, table, users) if one.holder]
                locks += [replace(one, path=clean(path, 1000), polled=True) for one in had]
        said = (tuple(locks), why)
        if said != self._last:
            self._last = said
            self._sink.emit(FileLocks(now, *said))

    def _of_file(
        self, inode: int, who: list[tuple[ThreadRow, Wait]], table: list[kernel_locks.KernelLock], every: Users
    ) -> list[FileLock]:
        tids = tuple(sorted(row.tid for row, _ in who))
        peer = who[0][1].peer
        path = peer.name if peer is not None else ""
        held = [lock for lock in table if lock.inode == inode]
        held = [lock for lock in held if self._pid in lock.waiters] or held
        found: list[FileLock] = []
        for lock in held[:MAX_LOCKS]:
            users: tuple[User, ...] = ()
            holder, shared = self._holder(lock)
            if holder == self._pid:
                users = self._users(inode, set(tids), every)
            name = other_ends.name_of(holder) if holder > 0 else ""
            if shared > 1:
                name += f", one of {shared} with the descriptor"
            others = tuple([pid for pid in lock.waiters if pid != self._pid][:MAX_OWNERS])
            stopped = stopped_by(holder) if holder not in (0, self._pid) else ""
            found.append(
                FileLock(
                    path,
                    lock.kind,
                    lock.mode,
                    tids,
                    holder,
                    clean(name),
                    users,
                    others,
                    lock.start,
                    lock.end,
                    inode,
                    stopped,
                )
            )
        return found or [FileLock(path, "", "", tids, 0, "", inode=inode)]

    def _holder(self, lock: kernel_locks.KernelLock) -> tuple[int, int]:
        """Pid of who has it, 0: not seen; and how many share the open file it belongs to, where that was looked for."""
        if lock.kind == "posix":
            return max(0, lock.holder), 1
        key, now = (lock.holder, lock.inode), time.monotonic()
        known = self._heirs.get(key)
        if known is None or now - known[0] > HEIRS_S:
            self._heirs.pop(key, None)
            if self._has_it(*key):
                return lock.holder, 1
            if len(self._heirs) >= MAX_LOCKS:
                self._heirs.clear()
            known = self._heirs[key] = (now, kernel_locks.heirs(lock.inode))
        pids = known[1]
        if not pids and lock.holder > 0 and kernel_locks.hidden(lock.holder):
            return lock.holder, 1  # the table is all that can be seen of it
        return (self._pid if self._pid in pids else pids[0] if pids else 0), len(pids)

    def _has_it(self, pid: int, inode: int) -> bool:
        """Whether this process has the file open; where it had it is looked at first."""
        if pid <= 0:
            return False
        fd = kernel_locks.descriptor(pid, inode, self._seen_at.pop((pid, inode), -1))
        if fd >= 0:
            if len(self._seen_at) >= MAX_LOCKS:
                self._seen_at.clear()
            self._seen_at[pid, inode] = fd
        return fd >= 0

    def _users(self, inode: int, waiters: set[int], found: Users) -> tuple[User, ...]:
        """Threads with the descriptor that has the lock: in an object, or as a number that they handed to flock()."""
        every = kernel_locks.same_file(self._pid, inode)
        fds = kernel_locks.holding_fds(self._pid, every) or every
        users = [user for each in found.of(fds).values() for user in each if user.how != "call"]
        known = {user.tid for user in users}
        for frame in self._search.finder.frames:
            tid, code, line = frame.thread.tid, frame.code, frame.place.line
            if tid in known or tid in waiters or self._search.frames.stdlib(code.file):
                continue
            names = self._search.obligations.handed(code.qualname, code.file, line, _LOCKING)
            for name in sorted(names):
                if self._number(code, frame.values, name) in fds:
                    known.add(tid)
                    users.append(User(tid, "local", clean(name), clean(code.qualname), clean(code.file, 1000), line))
                    break
        return tuple(users[:MAX_USERS])

    def _number(self, code: Code, values: tuple[int, ...], name: str) -> int:
        """The number in a variable, or of the object in it; -1."""
        objects = self._search.reader.objects
        for i, value in enumerate(values):
            if value and self._search.frames.name(code, i) == name:
                if objects.type_name(value) != "int":
                    return self._search.handles.number(value)
                try:
                    return objects.integers([value])[0]
                except struct.error:
                    return -1
        return -1

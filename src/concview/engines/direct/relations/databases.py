"""SQLite's connections: which file they are of, and whether they are in a transaction that writes.

A thread that waits for SQLite's lock sleeps and tries again, so the kernel cannot tell for what. Its frames refer to a
connection, or to a cursor of one; so do those of whoever has the lock.

Offsets: sqlite3.c and btreeInt.h of SQLite 3.7 to 3.50 (`struct sqlite3`, `Db`, `Btree`, `BtShared`), the same for ten
years; what is read is believed only where the b-tree leads back to the connection. The name of the file is looked for
in the pager's first words, whose fields have moved: it is the one path there that is neither a journal nor a log.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import NamedTuple

from concview.cpython.locks import LockReader
from concview.cpython.memory import BadAddress
from concview.cpython.objects import TypeKinds
from concview.engines.direct.relations.finder import Finder, Found
from concview.engines.direct.relations.handles import MAX_USERS, user_of
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import kernel_locks, other_ends
from concview.model import FileLock, User, Wait
from concview.text import clean

_WORD = struct.Struct("<Q").unpack_from
_CONNECTION, _CURSOR = "sqlite3.Connection", "sqlite3.Cursor"
#: A method of either that a variable keeps: `sql = connection.execute`; what it is bound to lies behind its definition.
_BOUND, _BOUND_TO = "builtin_function_or_method", 8
#: sqlite3.aDb; Db.pBt; Btree.db, .pBt, .inTrans; BtShared.pPager; words of the pager that are looked at.
_DATABASES, _TREE, _BACK, _SHARED, _STATE, _PAGER, _WORDS = 32, 8, 0, 8, 16, 0, 64
#: Btree.inTrans: 0 none, 1 reads, 2 writes.
WRITES = 2
#: Bytes that SQLite locks: in the database from PENDING_BYTE on, and WAL_WRITE_LOCK in the -shm file beside it.
_PENDING, _PENDING_END, _WAL_WRITE = 0x40000000, 0x40000000 + 512, 120
#: Connections that are read in one look.
_MOST = 256
_PATH, _MOST_FILES = 512, 16


class Open(NamedTuple):
    """One connection, by the address of Python's object."""

    path: str
    writes: bool


def _judge(name: str, own: bool) -> str:
    return name if name in (_CONNECTION, _CURSOR) or (own and name == _BOUND) else ""


class Databases:
    def __init__(self, reader: LockReader) -> None:
        self._objects, self._memory = reader.objects, reader.memory
        self._type, self._header = reader.offsets["ob.type"], reader.offsets.header
        self._kinds = TypeKinds(reader.objects, _judge)  #: which of the two it is or is made of

    def forget(self) -> None:
        self._kinds.forget()

    def locks(self, waiting: Iterable[tuple[ThreadRow, Wait]], finder: Finder) -> list[FileLock]:
        """One for each file whose lock threads wait for. `waiting`: those that sleep inside native code."""
        rows = list(waiting)
        connections, cursors = self._referred(finder)
        if not rows or not connections:
            return []
        found = finder.find({*connections, *cursors})
        tids = {row.tid for row, _ in rows}
        by_file: dict[str, set[int]] = {}
        for each in found:
            one = connections[cursors.get(each.target, each.target)]
            if each.variable.frame.thread.tid in tids and not one.writes:
                by_file.setdefault(one.path, set()).add(each.variable.frame.thread.tid)
        said: list[FileLock] = []
        for path, waiters in list(by_file.items())[:_MOST_FILES]:
            writing = {a for a, one in connections.items() if one.path == path and one.writes}
            here = [f for f in found if cursors.get(f.target, f.target) in writing]
            said.append(self._lock(path, waiters, here, bool(writing)))
        return said

    def _lock(self, path: str, waiters: set[int], here: list[Found], inside: bool) -> FileLock:
        users: dict[int, User] = {}
        for each in sorted(here, key=lambda f: (len(f.links), f.variable.frame.depth)):
            users.setdefault(each.variable.frame.thread.tid, user_of(each))
        own = self._memory.pid
        holder, name = (own, "") if inside else self._elsewhere(path)
        return FileLock(
            clean(path, 1000),
            "SQLite",
            "WRITE",
            tuple(sorted(waiters)),
            holder,
            clean(name),
            tuple(list(users.values())[:MAX_USERS]),
        )

    def _elsewhere(self, path: str) -> tuple[int, str]:
        """The process that has SQLite's lock on the file, by the kernel's table; our own, where only it is listed."""
        inodes: dict[int, bool] = {}
        for end, log in (("", False), ("-shm", True)):
            try:
                inodes[os.stat(f"/proc/{self._memory.pid}/root{path}{end}").st_ino] = log  # noqa: PTH116
            except OSError:
                continue
        try:
            table = kernel_locks.read() if inodes else []
        except OSError:
            return 0, ""
        own = 0
        for lock in table:
            if lock.kind != "posix" or lock.mode != "WRITE" or lock.inode not in inodes or lock.holder <= 0:
                continue
            first, last = lock.start, lock.end if lock.end >= 0 else 1 << 62
            bytes_ = (_WAL_WRITE, _WAL_WRITE) if inodes[lock.inode] else (_PENDING, _PENDING_END)
            if last < bytes_[0] or first > bytes_[1]:
                continue
            if lock.holder != self._memory.pid:
                return lock.holder, other_ends.name_of(lock.holder)
            own = lock.holder
        return own, ""

    # ------------------------------------------------------------------ what frames refer to

    def _referred(self, finder: Finder) -> tuple[dict[int, Open], dict[int, int]]:
        """Connections that frames lead to; cursors, and methods bound to either, with the connection of each."""
        addresses = finder.referred(named_globals=True)
        words = self._memory.read_many([(a + self._type, 8) for a in addresses])
        connections: dict[int, Open] = {}
        cursors: dict[int, int] = {}
        for address, word in zip(addresses, words, strict=True):
            kind = self._kinds.of(_WORD(word)[0]) if word is not None else ""
            if not kind or len(connections) >= _MOST:
                continue
            try:
                one_of = self._memory.word(address + self._header + _BOUND_TO) if kind == _BOUND else address
                kind = self._kind(one_of) if kind == _BOUND else kind
                if kind not in (_CONNECTION, _CURSOR):
                    continue
                owner = self._memory.word(one_of + self._header) if kind == _CURSOR else one_of
                one = connections.get(owner) or self._read(self._memory.word(owner + self._header))
            except (BadAddress, struct.error):
                continue
            if one is None:
                continue
            connections[owner] = one
            if address != owner:
                cursors[address] = owner
        return connections, cursors

    def _kind(self, address: int) -> str:
        return self._kinds.of(self._memory.word(address + self._type)) if address > 4096 and not address & 7 else ""

    def _read(self, database: int) -> Open | None:
        """None for a closed one, one in memory, and whatever does not look as it should."""
        if database <= 4096:
            return None
        memory = self._memory
        tree = memory.word(memory.word(database + _DATABASES) + _TREE)
        if tree <= 4096 or memory.word(tree + _BACK) != database:
            return None
        state = memory.read(tree + _STATE, 1)[0]
        if state > WRITES:
            return None
        path = self._path(memory.word(memory.word(tree + _SHARED) + _PAGER))
        return Open(path, state == WRITES) if path else None

    def _path(self, pager: int) -> str:
        words = self._memory.words(pager, _WORDS)
        texts = self._memory.read_many([(word, _PATH) for word in words if word > 4096])
        for text in texts:
            if text is None or text[:1] != b"/":
                continue
            path = text.partition(b"\0")[0].decode("utf-8", "surrogateescape")
            if not path.endswith(("-journal", "-wal")) and path.isprintable():
                return path
        return ""

"""Locks on files that threads try for again and again, with a pause in between: filelock, portalocker, fasteners.

The kernel lists who has such a lock, but nobody who will try for it: a thread in its pause only sleeps. Which file it
is about its frames tell, from the pause to the function that acquires: an object with a descriptor of the file, or its
path. A path is compared with what those who have locks have open, by name: the file itself is not touched, since
whoever serves it may not answer.
"""

from __future__ import annotations

import os
import struct
from itertools import islice

from concview.cpython.memory import BadAddress
from concview.engines.direct.relations.search import Search
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import kernel_locks
from concview.model import Wait

#: How often it is looked for anew.
EVERY_NS = 1_000_000_000
#: Innermost frames that may belong to an attempt; objects and paths of one thread.
_FRAMES, _OBJECTS, _PATHS = 8, 128, 32
_PATH = 1_000

#: inode -> (its path, who tries for the lock on it)
Tried = dict[int, tuple[str, list[tuple[ThreadRow, Wait]]]]


class PolledLocks:
    def __init__(self, search: Search, pid: int) -> None:
        self._search, self._pid = search, pid
        self._due_ns = 0
        self._known: dict[int, dict[int, str]] = {}  #: tid -> inodes that it tries for, and their paths

    def due(self, now: int, rows: list[tuple[ThreadRow, Wait]]) -> bool:
        """Whether frames have to be searched for it now."""
        return bool(rows) and now >= self._due_ns

    def look(self, now: int, rows: list[tuple[ThreadRow, Wait]]) -> None:
        """The frames have been read."""
        self._due_ns = now + EVERY_NS
        self._known = {}
        try:
            table = [lock for lock in kernel_locks.read() if lock.inode]
        except OSError:
            return
        if not table:
            return
        named = {lock.inode for lock in table}
        wanted: dict[str, list[int]] = {}
        for row, _ in rows:
            numbers, paths = self._refers(row.tid)
            for fd in numbers:
                inode = kernel_locks.inode_of(self._pid, fd)
                if inode in named:
                    self._known.setdefault(row.tid, {})[inode] = kernel_locks.link(self._pid, fd)
            for path in paths:
                wanted.setdefault(path, []).append(row.tid)
        if wanted:
            holders = dict.fromkeys(lock.holder for lock in table if lock.holder > 0)
            for path, inode in kernel_locks.locked(holders, wanted, named):
                for tid in wanted[path]:
                    self._known.setdefault(tid, {}).setdefault(inode, path)

    def of(self, rows: list[tuple[ThreadRow, Wait]]) -> Tried:
        """Of those that try now, what was found at the last look."""
        found: Tried = {}
        for row, wait in rows:
            for inode, path in self._known.get(row.tid, {}).items():
                found.setdefault(inode, (path, []))[1].append((row, wait))
        return found

    def _refers(self, tid: int) -> tuple[set[int], set[str]]:
        """Numbers of descriptors, and absolute paths, that the innermost frames of a thread have."""
        search, objects = self._search, self._search.reader.objects
        addresses: dict[int, None] = {}
        for frame in search.finder.frames:
            if frame.thread.tid != tid or frame.depth >= _FRAMES:
                continue
            for value in (*frame.values, *frame.cells.values()):
                addresses[value] = None
                addresses.update(dict.fromkeys(search.finder.instances.get(value, {}).values()))
        numbers: set[int] = set()
        paths: set[str] = set()
        for address in islice((a for a in addresses if a > 4096 and not a & 7), _OBJECTS):
            try:
                if (number := search.handles.number(address)) >= 0:
                    numbers.add(number)
                elif len(paths) < _PATHS and objects.type_name(address) == "str":
                    text = objects.string(address, _PATH)
                    if "/" in text and "\0" not in text:
                        paths.add(_absolute(self._pid, text))
            except (BadAddress, struct.error):
                continue
        return numbers, paths


def _absolute(pid: int, path: str) -> str:
    if not path.startswith("/"):
        path = f"{kernel_locks.link(pid)}/{path}"
    return os.path.normpath(path)  # by its name alone

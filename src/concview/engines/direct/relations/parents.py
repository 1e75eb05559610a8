"""Who asked for this process, where multiprocessing started it, and whether that one still lives.

The kernel forgets: an orphan's parent is init, and a fork server's workers have the fork server for a parent from the
beginning. The process object remembers: `BaseProcess._parent_pid`, in the frame that runs it (3.8 to 3.15; billiard,
which celery uses, has the same).
"""

from __future__ import annotations

import struct

from concview.cpython.memory import BadAddress
from concview.engines.direct.relations.search import Search
from concview.linux.namespaces import numbers
from concview.model import Parent
from concview.source.origin import is_module

EVERY_NS = 5_000_000_000
#: Outermost frames in which it is looked for.
_FRAMES = 16
_FILES = ("multiprocessing/process.py", "billiard/process.py")


class ParentReader:
    """`report` at any rate."""

    def __init__(self, search: Search) -> None:
        self._search, self._pid = search, search.reader.memory.pid
        self._due_ns = 0
        self._last: tuple[int, bool, int] | None = None
        self._asked_for_by = 0  #: what its object says: it does not change

    def report(self, now: int) -> None:
        if now < self._due_ns:
            return
        self._due_ns = now + EVERY_NS
        parent = self._asked_for_by = self._asked_for_by or self._remembered()
        if not parent:
            return
        inner = numbers(f"/proc/{self._pid}")
        own = _stat(self._pid, inner[-1] if inner else self._pid)
        if own is None:
            return  # its own /proc cannot be read: nothing follows from who is not in it
        there = _stat(self._pid, parent)
        # One that began later, in another session, has only got its number.
        alive = there is not None and there[0] not in "ZX" and (int(there[19]) <= int(own[19]) or there[3] == own[3])
        said = (parent, alive, int(own[1]))
        if said != self._last:
            self._last = said
            self._search.sink.emit(Parent(now, *said))

    def _remembered(self) -> int:
        row = self._search.table.by_tid.get(self._pid)
        if row is None:
            return 0
        reader = self._search.reader
        for thread in row.states:
            walk = thread.walk
            frames = list(zip(walk.places, walk.addresses, strict=True))[-_FRAMES:]
            for place, address in frames:
                file = place.code.file
                if not place.code.qualname.endswith("_bootstrap") or not any(is_module(file, f) for f in _FILES):
                    continue
                try:
                    value = reader.objects.attribute(reader.first_local(walk, address), "_parent_pid")
                    found = reader.objects.integers([value])[0] if value else 0
                except (BadAddress, struct.error):
                    continue
                if 0 < found < 1 << 31:
                    return found
        return 0


def _stat(pid: int, inner: int) -> list[str] | None:
    """State, parent, ... of a process by its number in the namespace of another one, through whose root its own /proc
    is seen; None where there is none."""
    try:
        with open(f"/proc/{pid}/root" + f"/proc/{inner}/stat", "rb") as file:
            return file.read(4096).decode("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return None

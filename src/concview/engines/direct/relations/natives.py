"""Threads that wait inside C code: in futex(2) without a lock of Python's, or asleep in SQLite's busy handler."""

from __future__ import annotations

from collections.abc import Iterable

from concview.cpython.memory import Memory
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import syscall_line
from concview.linux.modules import STACK, Modules, is_python
from concview.linux.syscalls import Shape
from concview.model import NativeWait, NativeWaits
from concview.sink import Sink
from concview.text import clean

MAX_WAITS = 64
#: Threads whose C stack is looked at in one look.
_STACKS = 32
_FUTEXES = frozenset({Shape.FUTEX, Shape.FUTEX_WAIT, Shape.FUTEX_WAITV})


class NativeReader:
    def __init__(self, memory: Memory, sink: Sink) -> None:
        self._memory, self._sink = memory, sink
        self.modules = Modules(memory.facts)
        #: thread -> (stack pointer, first argument), and the module that it waits in: a call that lasts has not moved.
        self._known: dict[int, tuple[tuple[int, int], str]] = {}
        self._last: object = ()
        self._told = False

    def report(self, now: int, waiting: Iterable[ThreadRow]) -> None:
        rows: list[NativeWait] = []
        for row in list(waiting)[:MAX_WAITS]:
            line = syscall_line.read(self._memory.facts, row.tid)
            if line is None or line.shape not in _FUTEXES:
                continue
            path = self.module(row.tid, line)
            if not path or is_python(path):
                continue  # a lock of Python's that could not be found is none of a C library's
            address = line.arguments[0]
            shared = self.modules.shared(address)
            rows.append(NativeWait(row.tid, address, clean(path.rpartition("/")[2]), clean(path, 1000), shared))
        said = tuple(rows)
        if said != self._last or not self._told:
            self._last, self._told = said, True
            self._sink.emit(NativeWaits(now, said))

    def module(self, tid: int, line: syscall_line.SyscallLine) -> str:
        """Path of the module that a thread waits in; '' where it cannot be told."""
        key = line.stack_pointer, line.arguments[0]
        known = self._known.get(tid)
        if known is not None and known[0] == key:
            return known[1]
        stack = self._memory.read_some(line.stack_pointer, STACK)
        path = self.modules.caller(stack, self._memory.read_some)
        if not path:
            self.modules.refresh()
            path = self.modules.caller(stack, self._memory.read_some)
        if len(self._known) > 4096:
            self._known.clear()
        self._known[tid] = key, path
        return path

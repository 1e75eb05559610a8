"""Threads that wait inside C code, in futex(2) without a lock of Python's: in which library, and who has the lock."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import msgspec

from concview.cpython.memory import Memory
from concview.engines.direct.relations.noted_owners import Noted, NotedOwners
from concview.engines.direct.thread_table import ThreadRow
from concview.linux import other_ends, pthread_locks, syscall_line
from concview.linux.modules import STACK, Modules, is_python, library
from concview.linux.namespaces import ThreadNumbers
from concview.linux.pthread_locks import Lock
from concview.linux.stopped import stopped_by
from concview.linux.syscalls import Shape
from concview.model import NativeWait, NativeWaits, Owner
from concview.sink import Sink
from concview.text import clean

MAX_WAITS = 64
_FUTEXES = frozenset({Shape.FUTEX, Shape.FUTEX_WAIT, Shape.FUTEX_WAITV})
_PROCESS = re.compile(rb"^Tgid:\s*(\d+)", re.MULTILINE)


class NativeReader:
    def __init__(self, memory: Memory, sink: Sink, noted: NotedOwners | None = None) -> None:
        self._memory, self._sink, self._noted = memory, sink, noted
        self.modules = Modules(memory.facts)
        self._numbers = ThreadNumbers(memory.facts)
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
            # First: the lock of a FILE has the beginning of a mutex.
            noted = self._note(row.tid, line, now)
            lock = pthread_locks.lock_of(line, self._memory.read_some) if noted is None else None
            # Of a program with the interpreter linked in (Nuitka, PyInstaller, uWSGI) that has another name.
            inside = bool(row.states) and path == self._memory.interpreter
            if not path or inside or is_python(path):
                if noted is not None:
                    path = self._beyond(line) if not noted.of else ""
                elif lock is None:
                    continue  # a lock of Python's that could not be found is none of a C library's
                else:
                    # A lock of Python's own is never such a one: what was found is left over from an earlier call.
                    path = self._beyond(line)
            shared = self.modules.shared(line.arguments[0])
            wait = NativeWait(row.tid, line.arguments[0], clean(library(path)), clean(path, 1000), shared)
            if noted is not None:
                name = f"a {clean(noted.of)}" if noted.of else wait.library
                told = {"address": noted.lock, "library": name, "kind": noted.kind, "owner": noted.owner}
                rows.append(msgspec.structs.replace(wait, **told))
            else:
                rows.append(wait if lock is None else self._owned(wait, line, lock))
        said = tuple(rows)
        if said != self._last or not self._told:
            self._last, self._told = said, True
            self._sink.emit(NativeWaits(now, said))

    def _note(self, tid: int, line: syscall_line.SyscallLine, now: int) -> Noted | None:
        """Who has it by a note beside it: read twice the same, while the thread has not moved."""
        if self._noted is None:
            return None
        stack = self._memory.read_some(line.stack_pointer, STACK)
        noted = self._noted.of(tid, line, stack, now)
        if noted is None or syscall_line.read(self._memory.facts, tid) != line:
            return None
        return noted if self._noted.of(tid, line, stack, now) == noted else None

    def _beyond(self, line: syscall_line.SyscallLine) -> str:
        """Path of the first module on the stack that is not the interpreter; '' for none."""
        stack = self._memory.read_some(line.stack_pointer, STACK)
        return self.modules.caller(stack, self._memory.read_some, python=False)

    def _owned(self, row: NativeWait, line: syscall_line.SyscallLine, lock: Lock) -> NativeWait:
        """With who has it: read twice the same, while the thread has not moved."""
        again = syscall_line.read(self._memory.facts, row.tid)
        if again != line or pthread_locks.lock_of(line, self._memory.read_some) != lock:
            return row
        tid = self._numbers.outer(lock.owner)
        if tid and os.path.exists(f"{self._memory.facts.folder}/task/{tid}"):  # noqa: PTH110
            return msgspec.structs.replace(row, kind=lock.kind, owner=tid)
        if self._numbers.nested or not self._memory.facts.live:
            # Whether another process of its namespace has that number is not asked.
            return row if row.shared else msgspec.structs.replace(row, kind=lock.kind, lost=True)
        return self._elsewhere(row, lock)

    @staticmethod
    def _elsewhere(row: NativeWait, lock: Lock) -> NativeWait:
        """Another process's thread has it, or one that has ended. A mutex that no other process can reach has lost its
        owner in a fork, or that has ended."""
        pid = _process_of(lock.owner) if row.shared else 0
        if not pid:
            return msgspec.structs.replace(row, kind=lock.kind, owner=lock.owner, lost=True)
        owner = Owner(pid, clean(other_ends.name_of(pid)), stopped=stopped_by(pid))
        return msgspec.structs.replace(row, kind=lock.kind, owner=lock.owner, others=(owner,))

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


def _process_of(tid: int) -> int:
    """The process that a thread belongs to; 0 when there is none of that number."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            found = _PROCESS.search(file.read(4096))
    except OSError:
        return 0
    return int(found[1]) if found else 0

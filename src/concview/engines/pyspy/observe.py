"""What we see ourselves at each tick: wait states of all threads, and the GIL."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import cast

from concview.cpython.memory import BadAddress, Memory
from concview.cpython.offsets import OLDEST
from concview.cpython.runtime import find, layout
from concview.engines.pyspy.join import Moment, WaitTable
from concview.engines.pyspy.threads import Task, Tasks
from concview.errors import NotPermitted, Unsupported
from concview.linux.waits import WaitReader
from concview.model import Wait
from concview.sink import Sink

#: The gil struct of builds with a GIL, the same from 3.8 to 3.15: last_holder (tstate pointer) 8, locked (int) 16,
#: switch_number (unsigned long) 24, then cond, mutex, switch_cond, switch_mutex from 32 to 208; a futex in there is a
#: wait for the GIL.
_HOLDER, _LOCKED, _WAITS, _SIZE = 8, 16, 32, 208
#: The pthread handle lies within the first bytes of a PyThreadState in every version (176 in 3.8 to 3.10).
_THREAD_STATE = 512


class GilNotFound(Exception):
    """Why the GIL of a process cannot be read: one sentence."""


class Gil:
    """The GIL of the main interpreter. `holder` costs one or two system calls."""

    def __init__(self, pid: int) -> None:
        """GilNotFound, NotPermitted or TargetGone."""
        self._memory = Memory(pid)
        self.address = _address(self._memory)
        self._holders: dict[int, tuple[int, int]] = {}

    @property
    def range(self) -> tuple[int, int]:
        """Futex addresses that mean a wait for this GIL: start, end."""
        return self.address + _WAITS, self.address + _SIZE

    def holder(self, tids: dict[int, int]) -> tuple[int, int, int]:
        """(kernel thread id of the holder, its PyThreadState, how often the GIL went to another thread in total).

        The thread id is 0 for nobody, -1 where it cannot be read, -2 for a thread not known.

        `tids`: pthread handle -> kernel thread id of the threads alive.
        """
        try:
            head = self._memory.read(self.address, _WAITS)
        except BadAddress:
            return -1, 0, -1
        state, locked, switches = struct.unpack_from("<Qi4xQ", head, _HOLDER)
        if locked != 1 or not state:
            return 0, 0, switches
        return self.thread(state, tids), state, switches

    def thread(self, state: int, tids: dict[int, int]) -> int:
        """Kernel thread id behind a PyThreadState; -2 when it is none that we know."""
        handle, tid = self._holders.get(state, (0, 0))
        if handle and tids.get(handle) == tid:
            return tid
        words = self._memory.read_some(state, _THREAD_STATE)
        for (word,) in struct.iter_unpack("<Q", words[: len(words) // 8 * 8]):
            if word in tids:
                if len(self._holders) > 10_000:
                    self._holders.clear()
                self._holders[state] = (word, tids[word])
                return tids[word]
        return -2


def _address(memory: Memory) -> int:
    try:
        runtime = find(memory)
        if runtime.version < OLDEST:
            raise GilNotFound("the GIL is read from Python 3.8 on")
        offsets = layout(memory, runtime)
        if offsets.free_threaded:
            raise GilNotFound("a free-threaded build runs without a GIL")
        if "rt.gil" in offsets.values:
            return runtime.address + offsets["rt.gil"]
        interpreter = memory.word(runtime.address + offsets["rt.interpreters_head"])
        for _ in range(1000):  # the newest comes first, the main interpreter last
            older = memory.word(interpreter + offsets["is.next"])
            if not older:
                break
            interpreter = older
        return memory.word(interpreter + offsets["is.ceval_gil"])
    except Unsupported as error:
        raise GilNotFound(str(error)) from None
    except (BadAddress, KeyError, struct.error):
        raise GilNotFound("the interpreter's GIL was not found in its memory") from None


class _Numbers:
    """The part of a sink that WaitReader uses, filled by a table of ours."""

    def __init__(self) -> None:
        self.generation = 0
        self.table = WaitTable()

    def wait(self, wait: Wait) -> int:
        return self.table.number(wait)

    def bound(self) -> None:
        """Start a new table when this one has grown large; the moments that refer to the old one keep it."""
        if len(self.table.waits) > WaitTable.LIMIT:
            self.table = WaitTable()
            self.generation += 1


class KernelSide:
    """Takes one Moment per tick."""

    #: Threads that ended are remembered this long, until the window in which they lived is joined.
    KEEP_NS = 20_000_000_000

    def __init__(self, pid: int, free_threaded: bool, tasks: Tasks) -> None:
        self._numbers = _Numbers()
        self._tasks = tasks
        self.waits = WaitReader(pid, cast(Sink, self._numbers))
        self.handles: dict[int, int] = {}  #: kernel thread id -> pthread handle, ended threads included
        self._tids: dict[int, int] = {}  #: the other way round, live threads only
        self._gone: dict[int, int] = {}  #: ended threads -> when
        self._known: dict[int, Task] = {}  #: replaced, never changed: moments refer to it
        self.gil: Gil | None = None
        if free_threaded:
            return
        try:
            self.gil = Gil(pid)
            self.waits.gil_range = [self.gil.range]
        except (GilNotFound, NotPermitted):
            pass  # what cannot be seen without it is said by the probe

    def moment(self, at_ns: int) -> Moment:
        """One sample of all threads."""
        if self._tasks.now.keys() != self._known.keys():
            self._threads_changed(at_ns)
        self._numbers.bound()
        gil = self.gil
        holder, state, switches = gil.holder(self._tids) if gil is not None else (-1, 0, -1)
        read = self.waits.read
        rows = [(tid, read(tid)) for tid in self._known]
        return Moment(at_ns, holder, state, False, rows, self._numbers.table, self._known, switches)

    def name_the_holder(self, moment: Moment) -> None:
        """Before py-spy's first window nothing told which thread was which."""
        if moment.gil_holder == -2 and self.gil is not None:
            moment.gil_holder = self.gil.thread(moment.gil_state, self._tids)

    def learn(self, handles: Iterable[int], native: dict[int, int]) -> bool:
        """py-spy reported these pthread handles. True when they can be told apart from outside."""
        could = self._tasks.learn(handles, native)
        self._handles()
        return could

    def passed_on(self, tid: int, since_ns: int) -> bool:
        """Whether another thread that had or has the handle of this one was there since."""
        handle = self.handles.get(tid)
        return any(
            other != tid and its == handle and self._gone.get(other, since_ns) >= since_ns
            for other, its in self.handles.items()
        )

    def _threads_changed(self, at_ns: int) -> None:
        alive = dict(self._tasks.now)
        for tid in self._known.keys() - alive.keys():
            self.waits.forget(tid)
            self._gone[tid] = at_ns
        for tid in alive:
            self._gone.pop(tid, None)
        for tid in [t for t, at in self._gone.items() if at_ns - at > self.KEEP_NS]:
            del self._gone[tid]
            self.handles.pop(tid, None)
        self._known = alive
        self._handles()

    def _handles(self) -> None:
        self._tids.clear()
        for tid, task in self._tasks.now.items():
            if task.handle:
                self.handles[tid] = task.handle
                self._tids[task.handle] = tid

    def close(self) -> None:
        self.waits.close()

"""Which kernel thread is which Python thread, and how a thread is called before py-spy has said it.

py-spy names threads by pthread handle; below Python 3.11 nothing in the interpreter knows the kernel's thread id, and
py-spy finds it only by stopping the threads. Instead: glibc registers with the kernel, for every thread, a robust futex
list whose head lies inside that thread's `struct pthread`, which is what the handle points to. `get_robust_list(tid)`
gives the head to whoever may read the process; head minus handle is one constant per C library (736 bytes on x86-64,
measured on Python 3.8 and 3.13). The constant is not assumed but found: it is the one that fits the most threads.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import time
from collections import Counter
from collections.abc import Iterable

from concview.linux.namespaces import ThreadNumbers, tasks

_libc = ctypes.CDLL(None, use_errno=True)
#: Number of get_robust_list: x86-64 from asm/unistd_64.h, the others share asm-generic/unistd.h.
_GET_ROBUST_LIST = 274 if platform.machine() in ("x86_64", "amd64") else 100
#: struct pthread is at least this large in no C library known; glibc's is 2304 bytes on x86-64.
_LARGEST_OFFSET = 8192
_TICKS = os.sysconf("SC_CLK_TCK")


def robust_head(tid: int) -> int:
    """Address of the thread's robust list head; 0 when it has none yet or may not be read."""
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    if _libc.syscall(_GET_ROBUST_LIST, ctypes.c_int(tid), ctypes.byref(head), ctypes.byref(size)) != 0:
        return 0
    return head.value or 0


class Task:
    """One kernel thread. `handle` is its pthread handle, 0 as long as it is not known."""

    __slots__ = ("comm", "handle", "head", "started_ns", "tid")

    def __init__(self, tid: int, comm: str, started_ns: int) -> None:
        self.tid = tid
        self.comm = comm
        self.started_ns = started_ns
        self.head = robust_head(tid)
        self.handle = 0


def stat_fields(path: str) -> tuple[str, list[str]]:
    """Name and the fields after it of a /proc stat file; the first of them is the state. OSError when gone."""
    with open(path, "rb") as stream:
        text = stream.read().decode("utf-8", "replace")
    name, _, rest = text.partition("(")[2].rpartition(")")
    return name, rest.split()


class Tasks:
    """The kernel threads of a process, kept up to date cheaply."""

    #: The directory's link count tells how many threads there are; one that ended while another began would go
    #: unseen, so the names are read at least this often.
    RELIST_NS = 100_000_000

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.now: dict[int, Task] = {}
        self._folder = f"/proc/{pid}/task"
        self._numbers = ThreadNumbers(pid)
        self._links = -1
        self._listed_ns = 0
        self._offset = 0
        #: CLOCK_BOOTTIME counts suspended time, CLOCK_MONOTONIC does not.
        self._boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()

    def refresh(self, at_ns: int) -> None:
        """See threads come and go. FileNotFoundError or ProcessLookupError when the process is gone."""
        links = os.stat(self._folder).st_nlink  # noqa: PTH116 - one system call, at every tick
        if links == self._links and at_ns - self._listed_ns < self.RELIST_NS:
            return
        with os.scandir(self._folder) as entries:
            alive = {int(entry.name) for entry in entries}
        self._links, self._listed_ns = links, at_ns
        for tid in [t for t in self.now if t not in alive]:
            del self.now[tid]
        for tid in alive:
            task = self.now.get(tid)
            if task is None:
                self._add(tid)
            elif not task.head:  # seen before the C library had registered it
                task.head = robust_head(tid)
                self._set_handle(task)

    def _add(self, tid: int) -> None:
        try:
            comm, fields = stat_fields(f"{self._folder}/{tid}/stat")
            started = int(fields[19]) * (1_000_000_000 // _TICKS) - self._boot_ns
        except (OSError, IndexError, ValueError):
            return  # gone already; the next listing will agree
        task = self.now[tid] = Task(tid, comm, started)
        self._set_handle(task)

    def _set_handle(self, task: Task) -> None:
        if self._offset and task.head:
            task.handle = task.head - self._offset

    def learn(self, handles: Iterable[int], native: dict[int, int] | None = None) -> bool:
        """Find the offset from handles that py-spy reported. True when threads can be told apart.

        `native` (handle -> kernel id, as py-spy says it from 3.11 on) serves where the C library keeps no list.
        """
        handles = tuple(handles)
        if not self._offset:
            gaps = Counter(
                task.head - handle
                for task in self.now.values()
                for handle in handles
                if task.head and 0 < task.head - handle < _LARGEST_OFFSET
            )
            if gaps:
                self._offset = gaps.most_common(1)[0][0]
                for task in self.now.values():
                    self._set_handle(task)
        for handle, inner in (native or {}).items():
            tid = self._numbers.outer(inner)
            if tid in self.now and not self.now[tid].handle:
                self.now[tid].handle = handle
        if self._offset:
            return True
        self._scan(handles)
        return any(task.handle for task in self.now.values())

    def _scan(self, handles: tuple[int, ...]) -> None:
        """Without robust lists (musl registers them late): the kernel id is a word of the struct itself."""
        words: dict[int, tuple[int, ...]] = {}
        try:
            with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
                for handle in handles:
                    memory.seek(handle)
                    data = memory.read(1024)
                    words[handle] = struct.unpack(f"={len(data) // 4}i", data[: len(data) // 4 * 4])
        except (OSError, ValueError, OverflowError):
            return
        try:
            own = tasks(self.pid)  # the struct has the number that the process itself knows
        except OSError:
            return
        best: dict[int, int] = {}
        for i in range(min((len(w) for w in words.values()), default=0)):
            fits = {own[w[i]]: handle for handle, w in words.items() if w[i] in own}
            if len(fits) > len(best):
                best = fits
        for tid, handle in best.items():
            self.now[tid].handle = handle

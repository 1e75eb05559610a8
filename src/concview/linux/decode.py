"""What a line of /proc/PID/task/TID/syscall means: kind of wait, descriptor and peer, timeout.

Line format (fs/proc/base.c, proc_pid_syscall): 'running', or '-1 SP PC', or 'NR ARG0..ARG5 SP PC', arguments in hex.
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Callable
from functools import cached_property

from msgspec.structs import replace

from concview.linux import syscalls
from concview.linux.peers import Peers
from concview.linux.process_facts import ProcessFacts, facts_of
from concview.linux.remote_memory import read_memory
from concview.linux.syscalls import Shape
from concview.model import Peer, Wait, WaitKind
from concview.text import clean

#: How many equal lines an answer stays good for. Negative: for ever.
STABLE = -1
#: An answer that can go stale: a descriptor may lead elsewhere by now.
RECHECK = 128
#: An answer that was given too early, or about something that will change soon.
RECHECK_SOON = 16
#: Descriptors of one poll or select looked at.
_MAX_POLLED = 64
_MAX_SELECTED = 1024
#: include/uapi/linux/time.h
_TIMER_ABSTIME = 1

FutexResolver = Callable[[int, int, bool, int], Wait | None]
#: The same for many: (tid, address, timed, stack pointer) of each.
FutexQuestion = tuple[int, int, bool, int]
FutexesResolver = Callable[[list[FutexQuestion]], list[Wait | None]]
MemoryReader = Callable[[int, int], bytes]


#: musl's pthread_cond_wait (src/thread/pthread_cond_timedwait.c, 1.1 to 1.2): each waiter waits at the `barrier` in a
#: node on its own stack (prev, next, state, barrier, notify); the condition has the newest one at `_c_head`.
_BARRIER, _HEAD, _NEAR, _MOST_QUEUED = 20, 8, 4096, 256
#: `cond` and `switch_cond` of the GIL, from the first one on: a mutex of 40 bytes lies between them.
_GIL_CONDITIONS = (0, 88)
_MUSL = re.compile(rb"/(?:ld-musl-|libc\.musl-)[\w.-]+|/[\w./-]*musl[\w./-]*/libc\.so$", re.MULTILINE)
_MAX_MAPS = 4 << 20


class Decoder:
    """Understands the lines of one process. `read(address, size)` reads its memory and may raise OSError.

    LookupError on a machine whose system call numbers are not known.
    """

    def __init__(
        self, process: int | ProcessFacts, read: MemoryReader | None = None, machine: str | None = None
    ) -> None:
        self.gil_range: list[tuple[int, int]] = []
        self.futex_resolver: FutexResolver | None = None
        self._facts = facts = facts_of(process)
        self.peers = Peers(facts)
        self._table = syscalls.table(machine)
        futex = next((number for number, (name, _) in self._table.items() if name == "futex"), -1)
        self._futex_line = b"%d " % futex
        self._numbers = {name: number for number, (name, _) in self._table.items()}
        self._read_memory: MemoryReader = read or (lambda address, size: read_memory(facts.pid, address, size))

    def parse(self, tid: int, line: bytes) -> tuple[Wait, int]:
        """(what a line of /proc/PID/task/TID/syscall means, how many equal lines the answer stays good for)."""
        if line.startswith(b"running"):
            return _RUNNING, STABLE
        fields = line.split()
        if len(fields) == 3:
            return self._outside(tid), RECHECK_SOON
        if len(fields) != 9:
            return _UNREADABLE, 0
        number = int(fields[0])
        arguments = [int(field, 16) for field in fields[1:]]
        name, shape = self._table.get(number, ("", Shape.OTHER))
        if not name:
            return Wait(WaitKind.OTHER, f"syscall {number}"), STABLE
        if shape is Shape.RESTART:
            name, shape = self._restarted(tid)
        return self._decode(tid, name, shape, arguments)

    def _decode(self, tid: int, name: str, shape: Shape, a: list[int]) -> tuple[Wait, int]:
        match shape:
            case Shape.FUTEX:
                timed = a[3] != 0 and (a[1] & syscalls.FUTEX_COMMAND_MASK) in syscalls.FUTEX_WAITS
                return self._futex(tid, name, a[0], timed, a[6])
            case Shape.FUTEX_WAIT:
                return self._futex(tid, name, a[0], a[4] != 0, a[6])
            case Shape.FUTEX_WAITV:
                first = self._memory(a[0], 16)  # struct futex_waitv: value, address, flags
                return self._futex(tid, name, _u64(first, 8), a[3] != 0, a[6])
            case Shape.SLEEP:
                # time.sleep sleeps until a moment on the monotonic clock, a C library's usleep for so long.
                pythons = name == "clock_nanosleep" and a[0] == time.CLOCK_MONOTONIC and a[1] & _TIMER_ABSTIME
                return Wait(WaitKind.SLEEP, name, timed=True, via="" if pythons else "native"), STABLE
            case Shape.FD | Shape.SYNC:
                return self._on_descriptor(tid, name, _int(a[0]), disk=shape is Shape.SYNC)
            case Shape.FLOCK:
                return self._file_lock(name, _int(a[0]))
            case Shape.FCNTL if a[1] in syscalls.FCNTL_WAITS:
                return self._file_lock(name, _int(a[0]))
            case Shape.POLL:
                return self._poll(name, a[0], a[1], timed=_int(a[2]) >= 0)
            case Shape.PPOLL:
                return self._poll(name, a[0], a[1], timed=a[2] != 0)
            case Shape.SELECT:
                return self._select(name, _int(a[0]), a[1:4], timed=a[4] != 0)
            case Shape.EPOLL | Shape.EPOLL2:
                timed = _int(a[3]) >= 0 if shape is Shape.EPOLL else a[3] != 0
                fd = _int(a[0])
                return Wait(WaitKind.IO, name, fd, self.peers.of(fd), timed), self._freshness()
            case Shape.CHILD:
                return Wait(WaitKind.CHILD, name, peer=self.peers.child(_int(a[0]))), RECHECK
            case Shape.WAITID:
                return self._waitid(name, _int(a[0]), _int(a[1])), RECHECK
            case Shape.PATH | Shape.PATH_AT:
                return self._on_path(tid, name, shape, a), RECHECK_SOON
            case Shape.SYSV:
                kind = "message queue" if name.startswith("msg") else "semaphore set"
                timed = name == "semtimedop" and a[3] != 0
                return Wait(WaitKind.IO, name, peer=Peer(kind, f"{kind} {_int(a[0])} (System V)"), timed=timed), STABLE
            case _:
                return Wait(WaitKind.OTHER, name), STABLE

    def question(self, tid: int, line: bytes) -> FutexQuestion | None:
        """What to ask a resolver about a thread in futex(2); None for every other line, and for the GIL."""
        if not line.startswith(self._futex_line):
            return None
        fields = line.split()
        if len(fields) != 9:
            return None
        address = int(fields[1], 16)
        stack_pointer = int(fields[7], 16)
        if self._for_gil(address, stack_pointer):
            return None
        command = int(fields[2], 16) & syscalls.FUTEX_COMMAND_MASK
        return tid, address, int(fields[4], 16) != 0 and command in syscalls.FUTEX_WAITS, stack_pointer

    def _for_gil(self, address: int, stack_pointer: int) -> bool:
        if any(start <= address < end for start, end in self.gil_range):
            return True
        node = address - _BARRIER
        if not self.musl or node & 7 or not 0 <= address - stack_pointer < _NEAR:
            return False
        return any(self._queued(start + cond, node) for start, _ in self.gil_range for cond in _GIL_CONDITIONS)

    def _queued(self, condition: int, node: int) -> bool:
        """Whether a waiter of musl's is in the list of a condition."""
        at = _u64(self._memory(condition + _HEAD, 8).ljust(8, b"\0"), 0)
        for _ in range(_MOST_QUEUED):
            if at == node or not at:
                break
            at = _u64(self._memory(at + 8, 8).ljust(8, b"\0"), 0)
        return at == node

    @cached_property
    def musl(self) -> bool:
        """Whether the process has musl for its C library (Alpine)."""
        try:
            with open(f"{self._facts.folder}/maps", "rb") as file:
                return _MUSL.search(file.read(_MAX_MAPS)) is not None
        except OSError:
            return False

    @staticmethod
    def answered(question: FutexQuestion, named: Wait | None) -> tuple[Wait, int]:
        """What `parse` gives of a line, when a resolver answered the question about it."""
        if named is not None:
            return named, STABLE  # until the owner of the resolver invalidates it
        return Wait(WaitKind.FUTEX, "futex", timed=question[2]), RECHECK

    def _futex(self, tid: int, name: str, address: int, timed: bool, stack_pointer: int) -> tuple[Wait, int]:
        if self._for_gil(address, stack_pointer):
            return _GIL, RECHECK
        if self.futex_resolver is not None:
            named = self.futex_resolver(tid, address, timed, stack_pointer)
            if named is not None:
                return named, STABLE  # until the owner of the resolver invalidates it
        return Wait(WaitKind.FUTEX, name, timed=timed), RECHECK

    def _on_descriptor(self, tid: int, name: str, fd: int, disk: bool) -> tuple[Wait, int]:
        peer = self.peers.of(fd)
        left = self._freshness()
        if not disk and peer is not None and peer.kind in ("file", "device"):
            # A path can be a FIFO or a device, which are waited for interruptibly; a disk never is.
            disk = self._state(tid) == "D"
            if not disk and peer.kind == "file" and any(end in self._channel(tid) for end in _IN_A_PIPE):
                peer = Peer("fifo", peer.name)
        kind = self._uninterruptible(tid) if disk else WaitKind.IO
        return Wait(kind, name, fd, peer), left

    def _uninterruptible(self, tid: int) -> WaitKind:
        return WaitKind.MEMORY if _NO_MEMORY in self._channel(tid) else WaitKind.DISK

    def _on_path(self, tid: int, name: str, shape: Shape, a: list[int]) -> Wait:
        peer = self._path(a[1] if shape is Shape.PATH_AT else a[0])
        if self._state(tid) == "D":
            return Wait(self._uninterruptible(tid), name, peer=peer)
        # Told by where it stands in the kernel, not by a stat of the path: that could hang as the target does.
        if peer is not None and name in _OPENS and self._channel(tid) == _FIFO_OPENED:
            reads = self._flags(name, a) & os.O_ACCMODE == os.O_RDONLY
            peer = Peer("fifo", peer.name, status="no writer" if reads else "no reader")
        return Wait(WaitKind.IO, name, peer=peer)

    def _flags(self, name: str, a: list[int]) -> int:
        if name == "openat2":  # struct open_how begins with them
            return _u64(self._memory(a[2], 8), 0)
        return {"open": a[1], "creat": os.O_WRONLY}.get(name, a[2])

    def _file_lock(self, name: str, fd: int) -> tuple[Wait, int]:
        peer = self.peers.of(fd)
        held = Peer("file lock", peer.name) if peer is not None else None
        return Wait(WaitKind.IO, name, fd, held), self._freshness()

    def _freshness(self) -> int:
        return RECHECK_SOON if self.peers.provisional else RECHECK

    # ------------------------------------------------------------------ sets of descriptors

    def _poll(self, name: str, address: int, count: int, timed: bool) -> tuple[Wait, int]:
        if count == 0:
            return Wait(WaitKind.SLEEP if timed else WaitKind.OTHER, name, timed=timed), STABLE
        data = self._memory(address, 8 * min(count, _MAX_POLLED))
        fds = [fd for fd, _, _ in struct.iter_unpack("=ihh", data[: len(data) // 8 * 8]) if fd >= 0]
        if not data:
            return Wait(WaitKind.IO, name, timed=timed), RECHECK_SOON
        total = len(fds) + max(0, count - _MAX_POLLED)
        return self._on_set(name, fds, total, timed)

    def _select(self, name: str, count: int, sets: list[int], timed: bool) -> tuple[Wait, int]:
        addresses = [address for address in sets if address]
        if count <= 0 or not addresses:
            # time.sleep up to Python 3.10 and on systems without clock_nanosleep
            return Wait(WaitKind.SLEEP if timed else WaitKind.OTHER, name, timed=timed), STABLE
        size = (min(count, _MAX_SELECTED) + 63) // 64 * 8
        bits = 0
        for address in addresses:
            bits |= int.from_bytes(self._memory(address, size), "little")
        fds = [fd for fd in range(min(count, _MAX_SELECTED)) if bits >> fd & 1]
        if not fds:
            # The sets are also the call's result: a set that is being written back reads as empty.
            return Wait(WaitKind.IO, name, timed=timed), RECHECK_SOON
        return self._on_set(name, fds, len(fds), timed)

    def _on_set(self, name: str, fds: list[int], total: int, timed: bool) -> tuple[Wait, int]:
        peer = self.peers.of_many(fds, "set", total)
        left = self._freshness()
        fd = fds[0] if total == 1 and fds else -1
        kind = WaitKind.CHILD if peer is not None and peer.kind == "process" else WaitKind.IO  # a pidfd is polled
        return Wait(kind, name, fd, peer, timed), left

    def _waitid(self, name: str, id_type: int, number: int) -> Wait:
        if id_type == syscalls.P_PIDFD:
            return Wait(WaitKind.CHILD, name, number, self.peers.of(number))
        return Wait(WaitKind.CHILD, name, peer=self.peers.child(number if id_type == syscalls.P_PID else -1))

    # ------------------------------------------------------------------ what the line does not say

    def _outside(self, tid: int) -> Wait:
        """Blocked but in no system call: a page fault, a stop, or exit."""
        state = self._state(tid)
        if state in ("T", "t"):
            return Wait(WaitKind.STOPPED)
        if state == "R":
            return _RUNNING
        channel = self._channel(tid)
        if "refrigerator" in channel or (state == "S" and channel in _FROZEN):
            return Wait(WaitKind.STOPPED)
        if state == "D" and _NO_MEMORY in channel:
            return Wait(WaitKind.MEMORY, "page fault")
        if state == "D":
            # A fault waits for a disk, or for the lock on the address space while another thread maps memory.
            kind = WaitKind.OTHER if "rwsem" in channel else WaitKind.DISK
            return Wait(kind, "page fault")
        return Wait(WaitKind.OTHER, "page fault" if state == "S" else "")

    def _restarted(self, tid: int) -> tuple[str, Shape]:
        """Which call goes on after a stop. Its arguments are still in the registers."""
        channel = self._channel(tid)
        for start, name in syscalls.RESTARTED:
            if start in channel:
                if name not in self._numbers:
                    name = "ppoll"  # aarch64 has no poll
                return self._table[self._numbers[name]]
        return "restart_syscall", Shape.OTHER

    def _state(self, tid: int) -> str:
        """The state letter of /proc/PID/task/TID/stat; '' when it cannot be read."""
        text = self._proc(tid, "stat")
        return text[text.rindex(")") + 2 :][:1] if ")" in text else ""

    def _channel(self, tid: int) -> str:
        return self._proc(tid, "wchan")

    def _proc(self, tid: int, name: str) -> str:
        try:
            with open(f"{self._facts.folder}/task/{tid}/{name}", "rb") as file:
                return file.read(1024).decode("utf-8", "replace")
        except OSError:
            return ""

    def _path(self, address: int) -> Peer | None:
        raw = self._memory(address, 256).partition(b"\0")[0]
        if not raw:
            return None
        path = os.fsdecode(raw)
        if path.startswith("/"):
            return self.peers.file(path)
        # Relative to a descriptor, or most often to the working directory: enough to know whose file system it is on.
        return replace(self.peers.file(f"{self._working()}/{path}"), name=clean(path))

    def _working(self) -> str:
        try:
            return os.readlink(f"{self._facts.folder}/cwd")  # noqa: PTH115 - stays text
        except OSError:
            return ""

    def _memory(self, address: int, size: int) -> bytes:
        """b'' when it cannot be read: the call ended meanwhile, or memory is not permitted."""
        try:
            return self._read_memory(address, size)
        except OSError:
            return b""


def _int(value: int) -> int:
    """The low 32 bits of a register as a C int."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def _u64(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 8], "little")


_RUNNING = Wait(WaitKind.RUNNING)
#: Where a thread stands in the kernel whose cgroup is at its limit (mm/memcontrol.c): mem_cgroup_oom_synchronize
#: (version 1, with the OOM killer off), __mem_cgroup_handle_over_high (memory.high).
_NO_MEMORY = "mem_cgroup"
_OPENS = frozenset({"open", "openat", "openat2", "creat"})
#: Where a thread stands in the kernel that opens a FIFO (fs/pipe.c), and one that reads or writes any pipe.
_FIFO_OPENED = "wait_for_partner"
_IN_A_PIPE = ("pipe_read", "pipe_write")
#: Where a thread stands in the kernel while its cgroup (version 2) is frozen; of version 1 it is "__refrigerator".
_FROZEN = ("get_signal", "do_freezer_trap")
_GIL = Wait(WaitKind.GIL, "futex")
_UNREADABLE = Wait(WaitKind.UNKNOWN)

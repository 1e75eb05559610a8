"""What each thread waits for in the kernel: /proc/PID/task/TID/syscall, read by pread on kept descriptors.

One read costs 2-3 µs; a line equal to the last one is not parsed again (`decode` does that).
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterable
from os import pread
from pathlib import Path

from concview.engines.base import Sink
from concview.engines.kernel import syscalls
from concview.engines.kernel.decode import Decoder, FutexesResolver, FutexQuestion, FutexResolver, MemoryReader
from concview.model import Capability, Wait, WaitKind

_LINE = 256  #: bytes; the longest line is 9 fields of at most 18 characters
_SHORT_LINE = 64  #: the same of schedstat: 3 numbers of at most 20 digits
#: Descriptors kept open at most; threads beyond that are opened at each read (about 10 µs more).
MAX_CACHED = 4096
#: What the line alone tells, whatever the thread's stack and descriptors are by now.
_PLAIN = frozenset({WaitKind.RUNNING, WaitKind.GIL, WaitKind.SLEEP})
_MAX_PLAIN = 4096


class _Slot:
    """One thread: its open files, its last line and the answer to it, its last times on a CPU."""

    __slots__ = ("fd", "left", "line", "schedule", "schedule_fd", "wait")

    def __init__(self) -> None:
        self.fd = self.schedule_fd = -1
        self.line = self.schedule = b""
        self.wait = 0
        self.left = 0


def descriptor_budget(share: float = 0.4, limit: int = MAX_CACHED) -> int:
    """How many descriptors one reader may keep: a share of what this process may open, at most `limit`."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limit
    return max(16, min(limit, int(soft * share)))


class WaitReader:
    """Wait states of one process's threads, as ids of `sink.wait`.

    `gil_range`: futex addresses [start, end) that mean the GIL. `futex_resolver(tid, address, timed, stack pointer)`
    names the lock behind any other futex, or None; `futexes_resolver` those of many threads. The answer depends on the
    thread's Python stack: whoever sees that change calls `invalidate(tid)`. All may be set at any time.
    """

    def __init__(
        self,
        pid: int,
        sink: Sink,
        read: MemoryReader | None = None,
        max_cached: int | None = None,
        machine: str | None = None,
    ) -> None:
        """LookupError on a machine whose system call numbers are not known."""
        self.denied = ""  #: why wait states cannot be read; empty when they can
        self.futexes_resolver: FutexesResolver | None = None
        self.parsed = 0  #: lines that were worked out, of all that were read
        self._decoder = Decoder(pid, read, machine)
        self.peers = self._decoder.peers
        self._pid = pid
        self._sink = sink
        self._generation = sink.generation
        self._slots: dict[int, _Slot] = {}
        self._plain: dict[bytes, int] = {}  #: lines that say everything themselves -> wait id
        self._open_files = 0
        self._max_open = descriptor_budget() if max_cached is None else max_cached

    @property
    def gil_range(self) -> list[tuple[int, int]]:
        return self._decoder.gil_range

    @gil_range.setter
    def gil_range(self, ranges: list[tuple[int, int]]) -> None:
        self._plain.clear()
        self._decoder.gil_range = ranges

    @property
    def futex_resolver(self) -> FutexResolver | None:
        return self._decoder.futex_resolver

    @futex_resolver.setter
    def futex_resolver(self, resolver: FutexResolver | None) -> None:
        self._decoder.futex_resolver = resolver

    # ------------------------------------------------------------------ the hot path

    def read_many(self, tids: Iterable[int]) -> dict[int, int]:
        """tid -> `read` of it. Those that wait for locks are asked about together, when all lines have been read."""
        resolver = self.futexes_resolver
        later: list[tuple[_Slot, bytes, FutexQuestion]] | None = None
        if resolver is not None and self.futex_resolver is not None:
            later = []
        slots, waits, valid = self._slots, {}, self._generation == self._sink.generation
        for tid in tids:
            slot = slots.get(tid)
            if slot is None or slot.fd < 0:
                waits[tid] = self._read(tid, later)
                continue
            try:
                line = pread(slot.fd, _LINE, 0)
            except OSError as error:
                waits[tid] = self._failed(tid, slot, error)
                continue
            # Most often it is the same answer as last time: not worth a call.
            waits[tid] = (
                slot.wait if valid and slot.left < 0 and line == slot.line else self._judge(tid, slot, line, later)
            )
        if resolver is None or not later:
            return waits
        answers = resolver([question for _, _, question in later])
        for (slot, line, question), named in zip(later, answers, strict=True):
            self.parsed += 1
            wait, left = self._decoder.answered(question, named)
            slot.line, slot.left, slot.wait = line, left, self._sink.wait(wait)
            waits[question[0]] = slot.wait
        return waits

    def read(self, tid: int) -> int:
        """Id of what the thread waits for; 0 when it ended or the kernel does not let us see it (`denied`)."""
        return self._read(tid, None)

    def _read(self, tid: int, later: list[tuple[_Slot, bytes, FutexQuestion]] | None) -> int:
        """0 also for what was put off until later."""
        slot = self._slots.get(tid)
        if slot is None:
            slot = self._slots[tid] = _Slot()
        try:
            line = pread(slot.fd, _LINE, 0) if slot.fd >= 0 else self._first(tid, slot)
        except OSError as error:
            return self._failed(tid, slot, error)
        return self._judge(tid, slot, line, later)

    def _judge(
        self, tid: int, slot: _Slot, line: bytes, later: list[tuple[_Slot, bytes, FutexQuestion]] | None
    ) -> int:
        """0 also for what was put off until later."""
        if self._generation == self._sink.generation:
            if line == slot.line and slot.left:
                slot.left = max(-1, slot.left - 1)
                return slot.wait
            if later is not None and line not in self._plain:
                question = self._decoder.question(tid, line)
                if question is not None:
                    later.append((slot, line, question))
                    return 0
        return self._work_out(tid, slot, line)

    def who_ran(self, tids: Iterable[int]) -> list[int]:
        """Those that may have been on a CPU since the last call: their run count in schedstat has changed.

        Who is not among them certainly was not, if it was off the CPU when its wait state was read after the last
        call: it stands where it stood, in memory and in the kernel. (One that was woken and has no CPU yet counts as
        not having run.) 1 µs each, where the wait state takes 2-3. Also those of whom it cannot be told.
        """
        slots, ran = self._slots, []
        for tid in tids:
            slot = slots.get(tid)
            if slot is None:
                ran.append(tid)
                continue
            try:
                schedule = pread(slot.schedule_fd, _SHORT_LINE, 0)
            except OSError:  # also -1, not opened yet
                ran.append(tid)
                if slot.schedule_fd == -1 and slot.fd >= 0:
                    self._open_schedule(tid, slot)
                continue
            if schedule != slot.schedule:
                slot.schedule = schedule
                ran.append(tid)
        return ran

    def invalidate(self, tid: int) -> None:
        """The next read() of this thread works its answer out again, even from an equal line."""
        slot = self._slots.get(tid)
        if slot is not None:
            slot.left = 0

    def forget(self, tid: int) -> None:
        """The thread ended: close its file."""
        slot = self._slots.pop(tid, None)
        if slot is not None:
            self._close(slot)

    def retain(self, tids: set[int]) -> None:
        """Forget every thread that is not in `tids`."""
        for tid in [tid for tid in self._slots if tid not in tids]:
            self.forget(tid)

    def close(self) -> None:
        self.retain(set())
        self.peers.close()

    # ------------------------------------------------------------------ files

    def _first(self, tid: int, slot: _Slot) -> bytes:
        fd = os.open(f"/proc/{self._pid}/task/{tid}/syscall", os.O_RDONLY | os.O_CLOEXEC)
        try:
            line = pread(fd, _LINE, 0)
        except BaseException:
            os.close(fd)
            raise
        self.denied = ""
        if self._open_files < self._max_open:
            slot.fd = fd
            self._open_files += 1
        else:
            os.close(fd)
        return line

    def _open_schedule(self, tid: int, slot: _Slot) -> None:
        slot.schedule_fd = -2  # asked, and not to be had: no schedstat in this kernel, or too many files
        if self._open_files < self._max_open:
            with contextlib.suppress(OSError):
                slot.schedule_fd = os.open(f"/proc/{self._pid}/task/{tid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
                self._open_files += 1

    def _close(self, slot: _Slot) -> None:
        for fd in (slot.fd, slot.schedule_fd):
            if fd >= 0:
                os.close(fd)
                self._open_files -= 1
        slot.fd = slot.schedule_fd = -1

    def _failed(self, tid: int, slot: _Slot, error: OSError) -> int:
        was_open = slot.fd >= 0
        self.forget(tid)
        if isinstance(error, PermissionError):
            self.denied = f"/proc/{self._pid}/task/{tid}/syscall: {error.strerror}"
        elif was_open and isinstance(error, ProcessLookupError):
            # The thread this file belonged to ended; its number may already be another thread's.
            return self.read(tid)
        return 0

    def _work_out(self, tid: int, slot: _Slot, line: bytes) -> int:
        if self._generation != self._sink.generation:
            self._generation = self._sink.generation
            for other in self._slots.values():
                other.line = b""
            self._plain.clear()
        known = self._plain.get(line)
        if known is not None:
            slot.line, slot.left, slot.wait = line, -1, known
            return known
        self.parsed += 1
        wait, left = self.parse(tid, line)
        slot.line, slot.left, slot.wait = line, left, self._sink.wait(wait)
        if wait.kind in _PLAIN:
            if len(self._plain) >= _MAX_PLAIN:
                self._plain.clear()
            self._plain[line] = slot.wait
        return slot.wait

    def parse(self, tid: int, line: bytes) -> tuple[Wait, int]:
        """(what a line means, how many equal lines the answer stays good for)."""
        return self._decoder.parse(tid, line)

    # ------------------------------------------------------------------ beforehand

    @classmethod
    def probe(cls, pid: int) -> Capability:
        """Whether wait states of this process can be read, and if not, why and what would help."""
        try:
            syscalls.table()
        except LookupError as error:
            return Capability(False, str(error), "use concview on x86-64 or aarch64")
        try:
            with open(f"/proc/{pid}/exe", "rb") as file:
                if file.read(5)[4:5] == b"\x01":  # EI_CLASS of the ELF header: ELFCLASS32
                    return Capability(False, "the process is a 32-bit program", "run it with a 64-bit Python")
            with open(f"/proc/{pid}/task/{pid}/syscall", "rb") as file:
                file.read()
        except PermissionError as error:
            return Capability(False, f"the kernel refuses {error.filename or '/proc/PID/syscall'}",
                              f"concview doctor {pid} says what would allow it")  # fmt: skip
        except FileNotFoundError as error:
            if Path(f"/proc/{pid}").exists():
                return Capability(False, f"{error.filename} does not exist: the kernel was built without "
                                  "CONFIG_HAVE_ARCH_TRACEHOOK", "use a kernel with it")  # fmt: skip
            return Capability(False, "the process ended", "")
        except OSError as error:
            return Capability(False, f"/proc/{pid}/syscall: {error.strerror}", "")
        return Capability(True)

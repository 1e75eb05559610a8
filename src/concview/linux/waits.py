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
from typing import Protocol, TypeVar

from concview.linux import switches, syscalls
from concview.linux.decode import Decoder, FutexesResolver, FutexQuestion, FutexResolver, MemoryReader
from concview.linux.process_facts import ProcessFacts, facts_of
from concview.model import Capability, Wait, WaitKind
from concview.sink import Sink

_LINE = 256  #: bytes; the longest line is 9 fields of at most 18 characters
SHORT_LINE = 64  #: the same of schedstat: 3 numbers of at most 20 digits
#: Descriptors kept open at most; threads beyond that are opened at each read (about 10 µs more).
MAX_CACHED = 32_768
#: What the line alone tells, whatever the thread's stack and descriptors are by now.
_PLAIN = frozenset({WaitKind.RUNNING, WaitKind.GIL, WaitKind.SLEEP})
#: Kinds of locks that a thread has for itself: who waits for one does not have it.
_TAKEN = frozenset({"Lock", "RLock"})
_MAX_PLAIN = 4096


class Waiting(Protocol):
    """Of whom it is asked what it waits for."""

    @property
    def tid(self) -> int: ...

    @property
    def wait(self) -> int:
        """Id of what it is believed to wait for."""
        ...


_P = TypeVar("_P", bound=Waiting)


class Slot:
    """One thread: its open files, its last line and the answer to it, its last times on a CPU."""

    __slots__ = ("fd", "left", "line", "schedule", "schedule_fd", "wait")

    def __init__(self) -> None:
        self.fd = self.schedule_fd = -1
        self.line = self.schedule = b""
        self.wait = 0
        self.left = 0


def descriptor_budget(share: float = 0.5, limit: int = MAX_CACHED) -> int:
    """How many descriptors one reader may keep: a share of what this process may open and the records of switches
    leave, at most `limit`."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limit
    return max(16, min(limit, int((soft - switches.room(soft)) * share)))


class WaitReader:
    """Wait states of one process's threads, as ids of `sink.wait`.

    `gil_range`: futex addresses [start, end) that mean the GIL. `futex_resolver(tid, address, timed, stack pointer)`
    names the lock behind any other futex, or None; `futexes_resolver` those of many threads. The answer depends on the
    thread's Python stack: whoever sees that change calls `invalidate(tid)`. All may be set at any time.
    """

    def __init__(
        self,
        process: int | ProcessFacts,
        sink: Sink,
        read: MemoryReader | None = None,
        max_cached: int | None = None,
        machine: str | None = None,
    ) -> None:
        """LookupError on a machine whose system call numbers are not known."""
        self.denied = ""  #: why wait states cannot be read; empty when they can
        self.futexes_resolver: FutexesResolver | None = None
        self.parsed = 0  #: lines that were worked out, of all that were read
        self.locks: dict[int, int] = {}  #: wait id -> the Lock or RLock that is waited for
        self._facts = facts_of(process)
        self._decoder = Decoder(self._facts, read, machine)
        self.peers = self._decoder.peers
        self._sink = sink
        self._generation = sink.generation
        self._slots: dict[int, Slot] = {}
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

    def news(self, rows: Iterable[_P]) -> list[tuple[_P, int]]:
        """Those who wait for something else than their `wait` says, with what it is. Those that wait for locks are
        asked about together, when all lines have been read."""
        slots, valid = self._slots, self._generation == self._sink.generation
        found: list[tuple[_P, int]] = []
        asks = self.futexes_resolver is not None and self.futex_resolver is not None
        later: list[tuple[Slot, bytes, FutexQuestion]] | None = [] if asks else None
        put_off: list[_P] = []
        for row in rows:
            slot = slots.get(row.tid)
            if slot is not None and slot.fd >= 0:
                try:
                    line = pread(slot.fd, _LINE, 0)
                except OSError as error:
                    wait = self._failed(row.tid, slot, error)
                else:
                    if valid and slot.left < 0 and line == slot.line:
                        # Most often it is the same answer as last time: not worth a call.
                        if slot.wait != row.wait:
                            found.append((row, slot.wait))
                        continue
                    wait = self._judge(row.tid, slot, line, later)
            else:
                wait = self._read(row.tid, later)
            if later and len(later) > len(put_off):
                put_off.append(row)
            elif wait != row.wait:
                found.append((row, wait))
        if later and self.futexes_resolver is not None:
            answers = self.futexes_resolver([question for _, _, question in later])
            for row, (slot, line, question), named in zip(put_off, later, answers, strict=True):
                self.parsed += 1
                answer, left = self._decoder.answered(question, named)
                slot.line, slot.left, slot.wait = line, left, self._number(answer)
                if slot.wait != row.wait:
                    found.append((row, slot.wait))
        return found

    def read(self, tid: int) -> int:
        """Id of what the thread waits for; 0 when it ended or the kernel does not let us see it (`denied`)."""
        return self._read(tid, None)

    def _read(self, tid: int, later: list[tuple[Slot, bytes, FutexQuestion]] | None) -> int:
        """0 also for what was put off until later."""
        slot = self._slots.get(tid)
        if slot is None:
            slot = self._slots[tid] = Slot()
        try:
            line = pread(slot.fd, _LINE, 0) if slot.fd >= 0 else self._first(tid, slot)
        except OSError as error:
            return self._failed(tid, slot, error)
        return self._judge(tid, slot, line, later)

    def _judge(self, tid: int, slot: Slot, line: bytes, later: list[tuple[Slot, bytes, FutexQuestion]] | None) -> int:
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

    def slot(self, tid: int) -> Slot:
        """Of a thread, with schedstat opened if it can be had."""
        slot = self._slots.get(tid)
        if slot is None:
            slot = self._slots[tid] = Slot()
        if slot.schedule_fd == -1 and slot.fd >= 0:
            self._open_schedule(tid, slot)
        return slot

    def times(self, tid: int) -> bytes:
        """How long and how often it has been on a CPU, as the kernel has it; equal when it has not run in between. b""
        where that cannot be had."""
        slot = self.slot(tid)
        if slot.schedule_fd >= 0:
            with contextlib.suppress(OSError):
                return pread(slot.schedule_fd, _LINE, 0)
        return b""

    def provisional(self, tid: int) -> bool:
        """Whether the last answer is good for some time only, though the thread may not have moved."""
        slot = self._slots.get(tid)
        return slot is None or slot.left >= 0

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

    def _first(self, tid: int, slot: Slot) -> bytes:
        fd = os.open(f"{self._facts.folder}/task/{tid}/syscall", os.O_RDONLY | os.O_CLOEXEC)
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

    def _open_schedule(self, tid: int, slot: Slot) -> None:
        slot.schedule_fd = -2  # asked, and not to be had: no schedstat in this kernel, or too many files
        if self._open_files < self._max_open:
            with contextlib.suppress(OSError):
                slot.schedule_fd = os.open(f"{self._facts.folder}/task/{tid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
                self._open_files += 1

    def _close(self, slot: Slot) -> None:
        for fd in (slot.fd, slot.schedule_fd):
            if fd >= 0:
                os.close(fd)
                self._open_files -= 1
        slot.fd = slot.schedule_fd = -1

    def _failed(self, tid: int, slot: Slot, error: OSError) -> int:
        was_open = slot.fd >= 0
        self.forget(tid)
        if isinstance(error, PermissionError):
            self.denied = f"{self._facts.folder}/task/{tid}/syscall: {error.strerror}"
        elif was_open and isinstance(error, ProcessLookupError):
            # The thread this file belonged to ended; its number may already be another thread's.
            return self.read(tid)
        return 0

    def _work_out(self, tid: int, slot: Slot, line: bytes) -> int:
        if self._generation != self._sink.generation:
            self._generation = self._sink.generation
            for other in self._slots.values():
                other.line = b""
            self._plain.clear()
            self.locks.clear()
        known = self._plain.get(line)
        if known is not None:
            slot.line, slot.left, slot.wait = line, -1, known
            return known
        self.parsed += 1
        wait, left = self.parse(tid, line)
        slot.line, slot.left, slot.wait = line, left, self._number(wait)
        # musl's waiters for the GIL wait on their own stacks, where something else may wait the next time.
        if wait.kind in _PLAIN and not (wait.kind is WaitKind.GIL and self._decoder.musl):
            if len(self._plain) >= _MAX_PLAIN:
                self._plain.clear()
            self._plain[line] = slot.wait
        return slot.wait

    def _number(self, wait: Wait) -> int:
        number = self._sink.wait(wait)
        if wait.lock and wait.lock_kind in _TAKEN and not wait.via:
            self.locks[number] = wait.lock
        return number

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
            return Capability(
                False,
                f"the kernel refuses {error.filename or '/proc/PID/syscall'}",
                f"concview doctor {pid} says what would allow it",
            )
        except FileNotFoundError as error:
            if Path(f"/proc/{pid}").exists():
                return Capability(
                    False,
                    f"{error.filename} does not exist: the kernel was built without CONFIG_HAVE_ARCH_TRACEHOOK",
                    "use a kernel with it",
                )
            return Capability(False, "the process ended", "")
        except OSError as error:
            return Capability(False, f"/proc/{pid}/syscall: {error.strerror}", "")
        return Capability(True)

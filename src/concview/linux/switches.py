"""Every moment at which a thread of one process got a CPU or lost it, as the kernel records it.

perf_event_open(2) by ctypes and mmap alone: one ring per CPU; every thread has one event per CPU whose output goes into
that CPU's ring (PERF_EVENT_IOC_SET_OUTPUT). Threads born later inherit their parent's events. The event is a DUMMY with
`context_switch`: then all records of a ring have one size (24 bytes: header, pid, tid, time), LOST ones apart.

Nothing is stopped. Each wait costs the target 1.3 to 2.1 µs (a Python thread with cold caches, x86-64, two CPUs).
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import mmap
import os
import platform
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Protocol

from concview.linux.family import thread_count
from concview.model import Capability

#: perf_event_open in the system call tables of the kernel, by machine.
_NUMBERS = {"x86_64": 298, "aarch64": 241}
#: include/uapi/linux/perf_event.h: PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY, PERF_SAMPLE_TID | PERF_SAMPLE_TIME.
_SOFTWARE, _DUMMY, _SAMPLE = 1, 9, 1 << 1 | 1 << 2
#: Bits of perf_event_attr: inherit, exclude_kernel (must be set without privilege, and loses nothing), exclude_hv,
#: sample_id_all, use_clockid, context_switch, inherit_thread (5.13: child processes are not followed).
_FLAGS = sum(1 << bit for bit in (1, 5, 6, 18, 25, 26, 35))
#: The structure's size of Linux 5.13 and later (PERF_ATTRRECORD_VER7), and where the clock stands in it.
_ATTRIBUTE, _CLOCK_AT = 128, 92
_CLOEXEC = 8  #: PERF_FLAG_FD_CLOEXEC
_SET_OUTPUT = 0x2405  #: PERF_EVENT_IOC_SET_OUTPUT
_LOST, _SWITCH = 2, 14  #: PERF_RECORD_*
#: data_head and data_tail in the page before the ring, as words of 8 bytes.
_HEAD, _TAIL = 128, 129
RECORD = 24  #: bytes of one
#: A header's misc and size: on a CPU; off it, blocked; off it, pushed aside.
IN = RECORD << 16
OUT = 1 << 13 | IN
PUSHED_ASIDE = 1 << 14 | OUT
_PLAIN = frozenset((IN, OUT, PUSHED_ASIDE))
#: Pages of a ring: with the one before it they fit what everybody may lock (perf_event_mlock_kb, 516 KiB a CPU).
_PAGES = 64
#: Events that are opened at most, and as a share of the files that we may have open. 2 KiB of the kernel's memory each.
MAX_EVENTS, FILE_SHARE = 10_000, 0.4

#: When, thread, IN or OUT or PUSHED_ASIDE, and 0; or when, thread, WAKING, and who woke it as in `model.Switches`.
Row = tuple[int, int, int, int]
WAKING = 1
#: A batch of records, and what makes rows of it.
Batch = tuple[Callable[[bytes], Iterable[Row]], bytes]

_HEADER = struct.Struct("<IHH").unpack_from
_QWORD = struct.Struct("<Q").unpack_from
_libc = ctypes.CDLL(None, use_errno=True)


class NotHere(Exception):
    """Switches cannot be had. `enable` says what would help."""

    def __init__(self, why: str, enable: str = "") -> None:
        super().__init__(why)
        self.enable = enable


class Source(Protocol):
    """Where records come from."""

    #: So many a second would cost the process 1 % of a core.
    most_per_s: ClassVar[int]
    #: Whether every switch is certain to be recorded.
    certain: ClassVar[bool]

    def cover(self, most: int = ...) -> bool: ...

    @property
    def gaps(self) -> tuple[int, ...]: ...

    def read_each(self, batches: list[Batch], ran: set[int], on: dict[int, int]) -> bool:
        """What came since the last call; who is in records of switches; who is on a CPU by its last one. False: there
        was no switch. Only when there was something, `gaps` may have changed."""
        ...

    def wakings(self) -> list[Batch]:
        """Records of wakings that are not among those of `read_each`: all that came since the last call."""
        ...

    def close(self) -> None: ...


def _attribute() -> ctypes.Array[ctypes.c_char]:
    attribute = bytearray(_ATTRIBUTE)
    struct.pack_into("<IIQQQQQ", attribute, 0, _SOFTWARE, _ATTRIBUTE, _DUMMY, 1, _SAMPLE, 0, _FLAGS)
    struct.pack_into("<i", attribute, _CLOCK_AT, time.CLOCK_MONOTONIC)
    return ctypes.create_string_buffer(bytes(attribute), _ATTRIBUTE)


def _open(attribute: ctypes.Array[ctypes.c_char], tid: int, cpu: int) -> int:
    """OSError where the kernel does not let us."""
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, "its number is not known on this machine")
    fd: int = _libc.syscall(number, attribute, tid, cpu, -1, _CLOEXEC)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd


def _setting(name: str) -> str:
    try:
        return Path(f"/proc/sys/kernel/{name}").read_text().strip()
    except OSError:
        return "?"


def _refused(error: OSError) -> NotHere:
    """Why, and what would help."""
    if error.errno in (errno.EACCES, errno.EPERM):
        paranoid = _setting("perf_event_paranoid")
        if paranoid.lstrip("-").isdigit() and int(paranoid) <= 2:
            return NotHere(
                "the kernel refuses perf_event_open: another user's process, or a container's seccomp profile",
                "run concview as root; in a container, start it with --cap-add PERFMON",
            )
        return NotHere(
            f"the kernel refuses perf_event_open (kernel.perf_event_paranoid is {paranoid})",
            "sudo sysctl kernel.perf_event_paranoid=2, or run concview as root",
        )
    if error.errno in (errno.ENOSYS, errno.ENOENT):
        return NotHere(f"this kernel has no perf_event_open ({error.strerror})", "use a kernel with CONFIG_PERF_EVENTS")
    if error.errno in (errno.EINVAL, errno.E2BIG):
        return NotHere("this kernel does not record switches of threads", "use Linux 5.13 or newer")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return NotHere("too many files would be open", "raise the limit: ulimit -n 65536")
    return NotHere(f"perf_event_open: {error.strerror}")


def _too_many(threads: int, cpus: int, room: int) -> NotHere:
    return NotHere(
        f"{threads} threads or more on {cpus} CPUs would take too many open files",
        "raise the limit: ulimit -n 65536" if room < MAX_EVENTS else "",
    )


def online_cpus() -> list[int]:
    """All of them: a thread may be moved to any while it is watched."""
    cpus: list[int] = []
    text = Path("/sys/devices/system/cpu/online").read_text("ascii")
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus


def room(files: int) -> int:
    """How many events may be opened, of so many files that may be open."""
    return min(MAX_EVENTS, int(FILE_SHARE * files))


def fits(pid: int, events: int) -> bool:
    """Whether all threads of the process can be covered by so many events."""
    threads = thread_count(f"/proc/{pid}")
    return not threads or (threads + 1) * len(online_cpus()) <= events


def probe(pid: int) -> Capability:
    """Tried for real: one event of the first thread, with its ring."""
    try:
        attribute, cpus = _attribute(), online_cpus()
        Ring(_open(attribute, pid, cpus[0]), 1).close()
    except OSError as error:
        refused = _refused(error)
        return Capability(False, str(refused), refused.enable)
    except ValueError as error:
        return Capability(False, f"the kernel's CPUs cannot be told: {error}")
    return Capability(True)


class Ring:
    """The mapped buffer of one event. The kernel writes, we alone read."""

    __slots__ = ("_data", "_map", "fd", "filled", "size", "tail", "words")

    def __init__(self, fd: int, pages: int) -> None:
        """Takes the descriptor over: it is closed when this fails."""
        self.fd, self.size = fd, pages * mmap.PAGESIZE
        self.filled = 0  #: how often nothing more fitted: a LOST record would come with the next one that fits only
        try:
            self._map = mmap.mmap(fd, mmap.PAGESIZE + self.size)
        except BaseException:
            os.close(fd)
            raise
        self.words = memoryview(self._map).cast("Q")  #: of the page before the ring
        self._data = memoryview(self._map)[mmap.PAGESIZE : mmap.PAGESIZE + self.size]
        self.tail = self.words[_TAIL]  #: read up to here

    def read(self) -> bytes:
        """What came since the last call; the place is given back at once."""
        head, tail = self.words[_HEAD], self.tail
        if head == tail:
            return b""
        size, data = self.size, self._data
        self.filled += head - tail > size - 2 * RECORD
        start, end = tail % size, head % size
        got = bytes(data[start:end]) if start < end else b"".join((data[start:], data[:end]))
        self.words[_TAIL] = self.tail = head
        return got

    def close(self) -> None:
        self.words.release()
        self._data.release()
        self._map.close()
        os.close(self.fd)


class Switches:
    """The switches of all threads of a process. NotHere where they cannot be had.

    `cover` until it says that all are covered; then `read` at any rate. A descriptor stays open when its thread ends:
    the events that its children inherited would end with it.
    """

    #: A wait costs the target 1.3 to 2.1 µs by its two records, on a machine full of others 3.2.
    most_per_s: ClassVar[int] = 6_000
    certain: ClassVar[bool] = True

    def __init__(self, pid: int, events: int) -> None:
        """`events`: so many may be opened."""
        if not fits(pid, events):  # found out now, not after thousands have been opened
            raise _too_many(events // len(online_cpus()), len(online_cpus()), events)
        self.pid, self._room = pid, events
        self.lost = 0  #: records that the kernel had to throw away
        self.rings: list[Ring] = []
        self._fds: list[int] = []
        self._covered: set[int] = set()
        self._attribute = _attribute()
        try:
            self._cpus = online_cpus()
            for cpu in self._cpus:
                self.rings.append(Ring(_open(self._attribute, pid, cpu), _PAGES))
        except OSError as error:
            self.close()
            raise _refused(error) from None
        self._covered.add(pid)
        self._left: list[int] = []
        self._listed = 0

    def cover(self, most: int = 1 << 30) -> bool:
        """Open the threads that exist, `most` at a time; True: all are. One that is born meanwhile inherits from one
        that is covered, or is found by listing them again."""
        if not self._left:
            try:
                now = {int(tid) for tid in os.listdir(f"/proc/{self.pid}/task")}  # noqa: PTH208
            except OSError:
                now = set()
            self._left = sorted(now - self._covered)
            self._listed += 1
            if not self._left or self._listed > 5:
                return True
        some, self._left = self._left[:most], self._left[most:]
        for tid in some:
            self._covered.add(tid)
            self._cover(tid)
        return False

    def _cover(self, tid: int) -> None:
        if (len(self._covered) + 1) * len(self._cpus) > self._room:
            raise _too_many(len(self._covered), len(self._cpus), self._room)
        for cpu, ring in zip(self._cpus, self.rings, strict=True):
            try:
                fd = _open(self._attribute, tid, cpu)
            except OSError as error:
                if error.errno == errno.ESRCH:
                    return  # it has ended
                raise _refused(error) from None
            self._fds.append(fd)
            if _libc.ioctl(fd, _SET_OUTPUT, ring.fd) < 0:
                code = ctypes.get_errno()
                raise _refused(OSError(code, os.strerror(code)))

    @property
    def gaps(self) -> tuple[int, ...]:
        """Differs from what it was when records are missing."""
        return (self.lost, *[ring.filled for ring in self.rings])

    def read(self) -> list[bytes]:
        """As `read_each`, the records alone."""
        batches: list[Batch] = []
        self.read_each(batches, set(), {})
        return [data for _, data in batches]

    def read_each(self, batches: list[Batch], ran: set[int], on: dict[int, int]) -> bool:
        """What came since the last call: a batch of 24-byte records of each CPU that has any, see `rows`; who is in
        them; and who is on each CPU by its last record (place of the CPU -> tid). False: there was nothing. Only when
        there was something, `gaps` may have changed."""
        found, cpu = False, -1
        for ring in self.rings:
            cpu += 1
            if ring.words[_HEAD] == ring.tail:
                continue
            found, data = True, ring.read()
            columns = memoryview(data).cast("I")
            if len(data) % RECORD or not _PLAIN.issuperset(columns[1::6]):
                data = self._kept(data)
                if not data:
                    continue
                columns = memoryview(data).cast("I")
            batches.append((_rows, data))
            ran.update(columns[3::6])
            if columns[-5] == IN:
                on[cpu] = columns[-3]
            else:
                on.pop(cpu, None)
        return found

    def wakings(self) -> list[Batch]:
        return []

    def _kept(self, data: bytes) -> bytes:
        """The records of switches alone; what was lost is counted."""
        kept: list[bytes] = []
        for kind, record in _records(data):
            if kind == _SWITCH:
                kept.append(record)
            elif kind == _LOST:
                self.lost += _QWORD(record, 16)[0]
        return b"".join(kept)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        for ring in self.rings:
            ring.close()
        self._fds, self.rings = [], []


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, record) of any mixture; the rest of a damaged one is left out."""
    at = 0
    while at + 8 <= len(data):
        kind, _, size = _HEADER(data, at)
        if size < 8 or (kind == _SWITCH and size != RECORD) or (kind == _LOST and size < RECORD):
            return
        yield kind, data[at : at + size]
        at += size


def rows(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(time, tid, IN, OUT or PUSHED_ASIDE) of a batch; nanoseconds of CLOCK_MONOTONIC."""
    words, quads = memoryview(data).cast("I"), memoryview(data).cast("Q")
    return zip(quads[2::3].tolist(), words[3::6].tolist(), words[1::6].tolist(), strict=True)


def _rows(data: bytes) -> Iterable[Row]:
    words, quads = memoryview(data).cast("I"), memoryview(data).cast("Q")
    columns = quads[2::3].tolist(), words[3::6].tolist(), words[1::6].tolist()
    return zip(*columns, itertools.repeat(0, len(columns[0])), strict=True)

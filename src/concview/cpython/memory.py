"""Reading another process's memory with process_vm_readv(2): the target is neither stopped nor told.

Everything here is bounded: one read takes at most `MAX_READ` bytes, and a target that answers nonsense costs a
`BadAddress`, never a crash.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from concview.errors import NotPermitted, TargetGone
from concview.linux.permission import explain, refusal
from concview.linux.process_facts import ProcessFacts, facts_of

#: IOV_MAX of Linux: more segments need more calls.
MAX_SEGMENTS = 1024
#: No single read is larger than this (bytes); a length beyond it was not a length.
MAX_READ = 16 << 20

_WORD = struct.Struct("<Q")
_INT = struct.Struct("<i")


class BadAddress(Exception):
    """Nothing readable there: the pointer was stale, torn or never one."""


class IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


def _system_call() -> Any:
    """process_vm_readv; None where the C library has none (not Linux)."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "process_vm_readv", None)
    if call is not None:
        call.argtypes = [
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_ulong,
            ctypes.c_void_p,
            ctypes.c_ulong,
            ctypes.c_ulong,
        ]
        call.restype = ctypes.c_ssize_t
    return call


readv = _system_call()


#: Its own function object: nothing is converted, so that only ctypes objects of the right type may be passed.
_as_it_is = _system_call()
if _as_it_is is not None:
    _as_it_is.argtypes = None


class Memory:
    """The memory of one process. Not thread safe: the buffers are reused.

    All reading is done by one call in the form of process_vm_readv, `readv`; another source than a running process is
    a class with its own (`core_memory`), and reads by the same code.
    """

    def __init__(self, process: int | ProcessFacts) -> None:
        if readv is None:
            raise NotPermitted("this C library has no process_vm_readv", "run concview on Linux, or use --engine pyspy")
        self.facts = facts_of(process)
        self.pid = self.facts.pid
        #: (pid, local, 1, address of `segments` pairs (address, size), their number, 0): the bytes copied, or -1 with
        #: the reason in errno
        self.readv: Callable[..., int] = readv
        self.calls = 0  #: system calls made
        self.interpreter = ""  #: path of the module that the interpreter lies in, when that has been found
        self.log: list[tuple[int, int, bytes | None]] | None = None  #: (address, size, bytes) of reads: see `replay`
        self._size = 1 << 16
        self._buffer = ctypes.create_string_buffer(self._size)
        self._view = memoryview(self._buffer).cast("B")
        self._local = IoVec(ctypes.addressof(self._buffer), self._size)
        self._local_p = ctypes.byref(self._local)
        self._remote = (IoVec * MAX_SEGMENTS)()
        self._remote_p = ctypes.addressof(self._remote)

    def prepared(self, local: IoVec, segments: array[int]) -> Callable[[], int]:
        """One `readv` into `local`, which answers with the bytes copied, or -1. Its arguments are made beforehand: with
        cold caches, to make them out of numbers takes a third of the whole call.

        `segments`: (address, size) in turn, `MAX_SEGMENTS` pairs at most. Both must live, and stay where they are, as
        long as this is used.
        """
        return partial(
            _as_it_is,
            ctypes.c_int(self.pid),
            ctypes.byref(local),
            ctypes.c_ulong(1),
            ctypes.c_void_p(segments.buffer_info()[0]),
            ctypes.c_ulong(len(segments) // 2),
            ctypes.c_ulong(0),
        )

    def _grow(self, size: int) -> None:
        self._size = max(size, self._size * 2)
        self._buffer = ctypes.create_string_buffer(self._size)
        self._view = memoryview(self._buffer).cast("B")
        self._local.base = ctypes.addressof(self._buffer)

    def _call(self, segments: int, size: int) -> int:
        """Bytes read, fewer than `size` when some segment is not readable."""
        self._local.len = size
        self.calls += 1
        got = self.readv(self.pid, self._local_p, 1, self._remote_p, segments, 0)
        return got if got >= 0 else self.failed()

    def failed(self) -> int:
        """Judge errno after a call that returned -1: 0 for an unreadable address, otherwise the right exception."""
        code = ctypes.get_errno()
        if code in (errno.EFAULT, errno.EIO, errno.EINVAL, errno.ENOMEM):
            return 0  # EINVAL: the lengths summed to nonsense; ENOMEM passes
        if code == errno.ESRCH:
            raise TargetGone("exited")
        if code in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            if not Path(f"/proc/{self.pid}").exists():
                raise TargetGone("exited")
            raise refused(self.pid)
        raise OSError(code, os.strerror(code))

    def read(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes."""
        if size <= 0:
            return b""
        if size > MAX_READ or not 0 < address < 1 << 63:
            raise BadAddress(f"{size} bytes at {address:#x}")
        if size > self._size:
            self._grow(size)
        segment = self._remote[0]
        segment.base = address
        segment.len = size
        if self._call(1, size) != size:
            if self.log is not None:
                self.log.append((address, size, None))
            raise BadAddress(f"{size} bytes at {address:#x}")
        data = self._view[:size].tobytes()
        if self.log is not None:
            self.log.append((address, size, data))
        return data

    def read_some(self, address: int, size: int) -> bytes:
        """Up to `size` bytes: what there is before the mapping ends."""
        if size <= 0 or not 0 < address < 1 << 63:
            return b""
        size = min(size, MAX_READ)
        if size > self._size:
            self._grow(size)
        segment = self._remote[0]
        segment.base = address
        segment.len = size
        data = self._view[: self._call(1, size)].tobytes()
        if self.log is not None:
            self.log.append((address, size, data if len(data) == size else None))
        return data

    def read_many(self, wanted: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Many (address, size) in as few calls as may be; None for each that cannot be read."""
        result: list[bytes | None] = []
        start = 0
        while start < len(wanted):
            count = total = 0
            for address, size in wanted[start : start + MAX_SEGMENTS]:
                if not 0 <= size <= MAX_READ or not 0 < address < 1 << 63:
                    break
                if count and total + size > MAX_READ:
                    break
                segment = self._remote[count]
                segment.base = address
                segment.len = size
                total += size
                count += 1
            if not count:
                result.append(None)
                start += 1
                continue
            if total > self._size:
                self._grow(total)
            got = self._call(count, total)
            offset = 0
            for done, (_, size) in enumerate(wanted[start : start + count]):
                if offset + size > got:
                    # The kernel stops at the first bad segment: skip it, go on behind it.
                    result.append(None)
                    start += done + 1
                    break
                result.append(self._view[offset : offset + size].tobytes())
                offset += size
            else:
                start += count
        if self.log is not None:
            self.log += [(address, size, data) for (address, size), data in zip(wanted, result, strict=True)]
        return result

    def read_joined(self, words: array[int], size: int) -> bytes | None:
        """Segments that are laid out already, as (address, size) in turn, `size` bytes in all, one behind the other: in
        one call, a third of the price of `read_many`. None when one cannot be read, or they are too many. Not logged.
        """
        if len(words) > 2 * MAX_SEGMENTS or size > MAX_READ:
            return None
        if size > self._size:
            self._grow(size)
        self._local.len = size
        self.calls += 1
        got = self.readv(self.pid, self._local_p, 1, words.buffer_info()[0], len(words) // 2, 0)
        if got < 0:
            self.failed()
        return self._view[:size].tobytes() if got == size else None

    def word(self, address: int) -> int:
        """An unsigned 64-bit number or pointer."""
        value: int = _WORD.unpack(self.read(address, 8))[0]
        return value

    def int32(self, address: int) -> int:
        value: int = _INT.unpack(self.read(address, 4))[0]
        return value

    def words(self, address: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.read(address, 8 * count)) if count > 0 else ()


def refused(pid: int) -> NotPermitted:
    """The exception that says why the kernel refused and what would allow it."""
    reason = refusal(pid) or explain(pid)
    return NotPermitted(reason.why, reason.remedy)


class Mapping(NamedTuple):
    """One line of /proc/PID/maps."""

    start: int
    end: int
    permissions: str
    offset: int  #: in the file, bytes
    path: str  #: '' when anonymous


def mappings(process: int | ProcessFacts) -> Iterator[Mapping]:
    """The target's mappings. Raises TargetGone or NotPermitted."""
    facts = facts_of(process)
    try:
        text = Path(f"{facts.folder}/maps").read_bytes().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, ProcessLookupError):
        raise TargetGone("exited") from None
    except PermissionError:
        raise refused(facts.pid) from None
    for line in text.splitlines():
        fields = line.split(None, 5)
        if len(fields) < 5:
            continue
        start, _, end = fields[0].partition("-")
        path = fields[5] if len(fields) > 5 else ""
        yield Mapping(int(start, 16), int(end, 16), fields[1], int(fields[2], 16), path)

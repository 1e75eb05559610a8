"""Writing to another process's memory through /proc/PID/mem. Addresses and sizes in bytes, little-endian."""

from __future__ import annotations

import contextlib
import errno
import os
import struct

from concview.cpython.memory import BadAddress, refused
from concview.errors import TargetGone


class WritableMemory:
    """The memory of the program that ran in the process when this was made: after an exec nothing can be accessed.

    Raises TargetGone, NotPermitted or BadAddress.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._file = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            raise TargetGone("exited") from None
        except PermissionError:
            raise refused(pid) from None

    def read(self, address: int, size: int) -> bytes:
        try:
            data = os.pread(self._file, size, address)
        except (OSError, OverflowError) as error:
            raise self._failed(error, address) from None
        if len(data) != size:
            raise TargetGone("exited") if not data else BadAddress(f"{size} bytes at {address:#x}")
        return data

    def write(self, address: int, data: bytes) -> None:
        try:
            written = os.pwrite(self._file, data, address)
        except (OSError, OverflowError) as error:
            raise self._failed(error, address) from None
        if written != len(data):
            raise TargetGone("exited") if not written else BadAddress(f"only {written} bytes written at {address:#x}")

    def _failed(self, error: Exception, address: int) -> Exception:
        if isinstance(error, OSError) and error.errno == errno.ESRCH:
            return TargetGone("exited")
        return BadAddress(f"at {address:#x}: {error}")

    def word(self, address: int) -> int:
        return int(struct.unpack("<Q", self.read(address, 8))[0])

    def int32(self, address: int) -> int:
        return int(struct.unpack("<i", self.read(address, 4))[0])

    def write_int32(self, address: int, value: int) -> None:
        self.write(address, struct.pack("<i", value))

    def close(self) -> None:
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = -1

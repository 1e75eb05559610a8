"""How a process ended: its exit code, or the signal that ended it. It is no child of ours, so `wait` does not tell.

Linux 6.15 and newer keep that for whoever has a pidfd of it open (`PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`,
include/uapi/linux/pidfd.h), from the moment on at which its parent took notice. Before that, while it is a zombie, it
is among the last fields of /proc/PID/stat, on every kernel, for those that may read its memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import time

#: Not known how.
UNKNOWN = -1
#: _IOWR(0xFF, 11, struct pidfd_info), of its first size.
_SIZE = 64
_GET_INFO = 3 << 30 | _SIZE << 16 | 0xFF << 8 | 11
_EXIT = 1 << 3
_EXIT_CODE = 60  #: offset of `exit_code`
#: Of /proc/PID/stat behind the name, from 0: the state, the exit code.
_STATE, _CODE = 0, 49
_STEP_S = 0.01


class ExitWatch:
    """Made while the process lives; `status` when it has ended."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.pidfd_open(pid)
        self._oom_kills = oom_kills()

    def note(self) -> None:
        """Once a minute or so: how many the kernel has killed for want of memory, to be compared at the end."""
        self._oom_kills = oom_kills()

    def status(self, patience_s: float = 0.3) -> int:
        """As `wait` gives it: the signal in the low seven bits, else the code times 256. UNKNOWN: the kernel does not
        tell. A parent that takes its time is waited for."""
        deadline = time.monotonic() + patience_s
        while True:
            found = self._of_pidfd()
            if found == UNKNOWN:
                found = self._of_zombie()
            if found != UNKNOWN or self._file < 0 or time.monotonic() >= deadline:
                return found
            time.sleep(_STEP_S)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def words(self, status: int) -> str:
        """'exited with code 3', 'was killed by SIGKILL', 'exited' where it is not known."""
        if status == UNKNOWN:
            return "exited"
        number = status & 0x7F
        if not number:
            return f"exited with code {status >> 8 & 0xFF}"
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        if number == signal.SIGKILL and 0 <= self._oom_kills < oom_kills():
            return f"was killed by {name}; the kernel has killed for want of memory: perhaps this one (see dmesg)"
        return f"was killed by {name}"

    def _of_pidfd(self) -> int:
        if self._file < 0:
            return UNKNOWN
        info = bytearray(struct.pack("<Q", _EXIT).ljust(_SIZE, b"\0"))
        try:
            fcntl.ioctl(self._file, _GET_INFO, info)
        except OSError:
            return UNKNOWN
        (mask,) = struct.unpack_from("<Q", info)
        return int(struct.unpack_from("<i", info, _EXIT_CODE)[0]) if mask & _EXIT else UNKNOWN

    def _of_zombie(self) -> int:
        try:
            with open(f"/proc/{self._pid}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read(2048).rpartition(")")[2].split()
        except OSError:
            return UNKNOWN
        if len(fields) <= _CODE or fields[_STATE] != "Z":
            return UNKNOWN
        return int(fields[_CODE])


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory, of this machine; -1: it does not count."""
    try:
        with open("/proc/vmstat", "rb") as file:
            found = file.read().partition(b"\noom_kill ")[2].split(b"\n", 1)[0]
        return int(found)
    except (OSError, ValueError):
        return -1

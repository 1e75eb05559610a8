"""Which library a blocked thread is in: the first return address on its stack that lies outside the C library.

The stack is read upwards from the stack pointer that the kernel tells. Between frames lie leftovers of earlier calls,
and pointers to functions: a word counts only where a call stands before the place that it leads back to. So the answer
is likely, not certain.
"""

from __future__ import annotations

import os
import re
import struct
import time
from bisect import bisect_right
from collections.abc import Callable

from concview.linux.process_facts import ProcessFacts, facts_of

#: Of a stack that is looked at, bytes.
STACK = 4096
#: Seconds that a list of mappings is believed; one that lacks an address is read again no sooner than this.
_BELIEVED_S, _AGAIN_S = 10.0, 1.0
_MAX_MAPS = 16 << 20
#: Longest call instruction that is looked for, bytes.
_CALL = 7
#: What only passes a wait on: not the one that waits.
_PASSES = re.compile(r"^(?:libc|ld|libpthread|librt|ld-linux[\w-]*|ld-musl[\w-]*|libc\.musl[\w-]*)[.-]|^\[")
#: What builds put into names: the ABI of an extension, and the hash by which auditwheel tells copies apart.
_ABI = re.compile(r"\.(?:cpython-\d+t?[\w-]*|abi3|abi3t|pypy\d+[\w-]*)\.so$")
_COPY = re.compile(r"-[0-9a-f]{8}(?=\.so)\.so")
_PYTHON = re.compile(r"^(?:lib)?python[23][\d.]*t?d?(?:\.so[\d.]*)?$|^libpython")


class Modules:
    """The executable mappings of one process, and shared writable ones."""

    def __init__(self, process: int | ProcessFacts) -> None:
        self._maps = f"{facts_of(process).folder}/maps"
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._paths: list[str] = []
        self._shared: list[tuple[int, int, int]] = []  #: start, end, inode
        self._read_at = -_BELIEVED_S

    def path_of(self, address: int) -> str:
        """The module that an instruction lies in; '' for none."""
        if time.monotonic() - self._read_at > _BELIEVED_S:
            self._read()
        i = bisect_right(self._starts, address) - 1
        return self._paths[i] if i >= 0 and address < self._ends[i] else ""

    def shared(self, address: int) -> int:
        """Inode of the shared mapping that an address lies in; 0 for none."""
        for start, end, inode in self._shared:
            if start <= address < end:
                return inode
        return 0

    def refresh(self) -> None:
        """A library may have been loaded since."""
        if time.monotonic() - self._read_at > _AGAIN_S:
            self._read()

    def _read(self) -> None:
        self._read_at = time.monotonic()
        try:
            with open(self._maps, "rb") as file:
                text = file.read(_MAX_MAPS)
        except OSError:
            return
        rows: list[tuple[int, int, str]] = []
        self._shared = []
        for line in text.decode("utf-8", "replace").splitlines():
            fields = line.split(None, 5)
            if len(fields) < 5:
                continue
            start, _, end = fields[0].partition("-")
            permissions = fields[1]
            if permissions[2:3] == "x":
                rows.append((int(start, 16), int(end, 16), fields[5] if len(fields) > 5 else ""))
            elif permissions[1:4:2] == "ws":
                self._shared.append((int(start, 16), int(end, 16), int(fields[4])))
        rows.sort()
        self._starts, self._ends = [row[0] for row in rows], [row[1] for row in rows]
        self._paths = [row[2] for row in rows]

    def caller(self, stack: bytes, read: Callable[[int, int], bytes], python: bool = True) -> str:
        """Path of the module that waits, by the words of a stack from its pointer on; '' where none is found. `read`
        (address, size) gives memory of the process, up to so many bytes. `python`: the interpreter may be it."""
        for (word,) in struct.iter_unpack("<Q", stack[: len(stack) & ~7]):
            if word < 4096 or word >> 47:
                continue
            path = self.path_of(word)
            if not python and is_python(path):
                continue
            if path and not _PASSES.match(path.rpartition("/")[2]) and is_return(read(word - _CALL, _CALL)):
                return path
        return ""


def is_return(code: bytes, machine: str = os.uname().machine) -> bool:
    """Whether the last of these bytes of code are a call, so that what follows them is where it returns to."""
    if len(code) < _CALL:
        return False
    if machine == "aarch64":  # BL, BLR
        word = int.from_bytes(code[-4:], "little")
        return word & 0xFC000000 == 0x94000000 or word & 0xFFFFFC1F == 0xD63F0000
    if code[-5] == 0xE8:  # call of a relative address
        return True
    # Call of what a register or memory holds: FF /2, of two to seven bytes.
    return any(code[-size] == 0xFF and code[-size + 1] >> 3 & 7 == 2 for size in (2, 3, 4, 6, 7))


def library(path: str) -> str:
    """A module's name as its users know it: 'libpq.so.5' for the copy 'libpq-9b38f5e3.so.5.17' in a wheel,
    'lmdb/cpython.so' for 'lmdb/cpython.cpython-312-x86_64-linux-gnu.so', with its package."""
    folder, _, name = path.removesuffix(" (deleted)").rpartition("/")
    bare = _ABI.sub(".so", name)
    if bare != name and not folder.endswith(("/lib-dynload", "/site-packages", "/dist-packages")):
        return f"{folder.rpartition('/')[2]}/{bare}"
    return _COPY.sub(".so", bare)


def is_python(path: str) -> bool:
    """Whether a module is the interpreter itself: python3.13, libpython3.13.so.1.0."""
    return bool(_PYTHON.match(path.rpartition("/")[2].removesuffix(" (deleted)")))

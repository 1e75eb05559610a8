"""Small programs inside the kernel: bpf(2) by ctypes, and instructions put together by hand. No compiler, no library.

Constants: include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable

#: bpf in the system call tables of the kernel, by machine.
_NUMBERS = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _PROG_LOAD, _PROG_NEXT, _PROG_OPEN, _INFO, _RAW_TRACEPOINT_OPEN = 0, 5, 11, 13, 15, 17
ARRAY, RING = 2, 27  #: BPF_MAP_TYPE_*
MAPPABLE = 1 << 10  #: BPF_F_MMAPABLE
_TRACING, _TRACE_RAW_TP = 26, 23  #: BPF_PROG_TYPE_TRACING, attached as BPF_TRACE_RAW_TP: arguments have types
_LICENSE = ctypes.create_string_buffer(b"Dual MIT/GPL")
#: Helpers of the kernel, by number.
NOW, WHO, READ, PUT, CURRENT = 5, 14, 113, 130, 158
NO_WAKEUP = 1  #: BPF_RB_NO_WAKEUP: nobody sleeps on the ring
#: What a 64-bit constant stands for: BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE.
MAP, MAP_VALUE = 1, 2

_INSTRUCTION = struct.Struct("<BBhi").pack
_libc = ctypes.CDLL(None, use_errno=True)


def _call(command: int, attribute: bytes | ctypes.Array[ctypes.c_char]) -> int:
    """OSError where the kernel refuses. It may write into a buffer."""
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, "its number is not known on this machine")
    buffer = ctypes.create_string_buffer(attribute, len(attribute)) if isinstance(attribute, bytes) else attribute
    found: int = _libc.syscall(number, command, buffer, len(attribute))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def create(kind: int, key: int, value: int, entries: int, flags: int = 0) -> int:
    """A map; its descriptor. Sizes in bytes; a ring's size stands for its entries."""
    return _call(_MAP_CREATE, struct.pack("<IIIII", kind, key, value, entries, flags) + bytes(52))


def load(instructions: bytes, name: str, typedef: int) -> int:
    """A program for the tracepoint whose type of function is that one in the kernel's description of its types; its
    descriptor. OSError: EPERM where we may not, EACCES or EINVAL where the kernel does not trust the program."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    texts = ctypes.addressof(code), ctypes.addressof(_LICENSE)
    attribute = struct.pack("<IIQQ", _TRACING, len(instructions) // 8, *texts)
    attribute += bytes(24) + name.encode()[:15].ljust(16, b"\0") + struct.pack("<II", 0, _TRACE_RAW_TP)
    attribute += bytes(36) + struct.pack("<I", typedef) + bytes(16)
    return _call(_PROG_LOAD, attribute)


def attach(program: int) -> int:
    """From now on it runs; until the descriptor is closed."""
    return _call(_RAW_TRACEPOINT_OPEN, struct.pack("<QII", 0, program, 0) + bytes(16))


#: Bytes of struct bpf_prog_info up to the end of the name, and where that begins.
_INFO_SIZE, _NAME_AT = 80, 64


def loaded(name: str) -> int:
    """How many programs of that name the kernel has now."""
    count, number, info = 0, 0, ctypes.create_string_buffer(_INFO_SIZE)
    while True:
        following = ctypes.create_string_buffer(struct.pack("<III", number, 0, 0), 12)
        try:
            _call(_PROG_NEXT, following)
        except FileNotFoundError:
            return count  # that was the last one
        (number,) = struct.unpack_from("<I", following, 4)
        try:
            fd = _call(_PROG_OPEN, struct.pack("<III", number, 0, 0))
        except FileNotFoundError:
            continue  # it has just been unloaded
        try:
            ctypes.memset(info, 0, _INFO_SIZE)
            _call(_INFO, struct.pack("<IIQ", fd, _INFO_SIZE, ctypes.addressof(info)))
        finally:
            os.close(fd)
        count += info.raw[_NAME_AT:].rstrip(b"\0") == name.encode()[:15]


class Code:
    """A program being written. Registers 0 to 10; offsets and sizes in bytes."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, int, int, int, int | str]] = []
        self._labels: dict[str, int] = {}

    def _add(self, code: int, to: int = 0, source: int = 0, offset: int = 0, value: int | str = 0) -> None:
        self._lines.append((code, to, source, offset, value))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._lines)

    def load(self, size: int, to: int, at: int, offset: int) -> None:
        """to = *(at + offset)"""
        self._add({4: 0x61, 8: 0x79}[size], to, at, offset)

    def store(self, size: int, at: int, offset: int, source: int) -> None:
        """*(at + offset) = source"""
        self._add({4: 0x63, 8: 0x7B}[size], at, source, offset)

    def put(self, size: int, at: int, offset: int, value: int) -> None:
        """*(at + offset) = value"""
        self._add({4: 0x62, 8: 0x7A}[size], at, 0, offset, value)

    def set(self, to: int, value: int) -> None:
        self._add(0xB7, to, value=value)

    def copy(self, to: int, source: int) -> None:
        self._add(0xBF, to, source)

    def low(self, to: int, source: int) -> None:
        """to = the lower 32 bits of source"""
        self._add(0xBC, to, source)

    def add(self, to: int, value: int) -> None:
        self._add(0x07, to, value=value)

    def negate(self, to: int) -> None:
        self._add(0x87, to)

    def both(self, to: int, value: int) -> None:
        """to &= value, 32 bits"""
        self._add(0x54, to, value=value)

    def shift_right(self, to: int, bits: int) -> None:
        self._add(0x77, to, value=bits)

    def count(self, at: int, source: int) -> None:
        """*at += source, of 8 bytes, as one step"""
        self._add(0xDB, at, source, 0, 0)

    def constant(self, to: int, kind: int, value: int) -> None:
        """A map, or the value of a map's first entry, by the map's descriptor."""
        self._add(0x18, to, kind, value=value)
        self._add(0)

    def call(self, helper: int) -> None:
        self._add(0x85, value=helper)

    def jump_equal(self, register: int, value: int, label: str) -> None:
        """32 bits"""
        self._jump(0x16, register, value, label)

    def jump_differs(self, register: int, value: int, label: str) -> None:
        """32 bits"""
        self._jump(0x56, register, value, label)

    def jump_other(self, register: int, other: int, label: str) -> None:
        """Where two registers differ."""
        self._jump(0x5D, register | other << 4, 0, label)

    def jump_null(self, register: int, label: str) -> None:
        self._jump(0x15, register, 0, label)

    def _jump(self, code: int, register: int, value: int, label: str) -> None:
        self._lines.append((code, register, 0, value, label))

    def leave(self) -> None:
        self.set(0, 0)
        self._add(0x95)

    def built(self) -> bytes:
        return b"".join(self._built())

    def _built(self) -> Iterable[bytes]:
        for number, (code, to, source, offset, value) in enumerate(self._lines):
            if isinstance(value, str):
                # A jump: what stands for the offset is what is compared with.
                yield _INSTRUCTION(code, to, self._labels[value] - number - 1, offset)
            else:
                yield _INSTRUCTION(code, to | source << 4, offset, value)

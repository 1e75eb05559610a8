"""Core files made up byte by byte: segments, threads, mapped files."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

PAGE = 4096


class Segment(NamedTuple):
    address: int
    data: bytes  #: what is in the file
    size: int  #: in memory; more than the data where the rest was not written
    flags: int = 6


def note(kind: int, data: bytes, name: bytes = b"CORE\0") -> bytes:
    pad = -len(name) % 4
    return struct.pack("<III", len(name), len(data), kind) + name + bytes(pad) + data + bytes(-len(data) % 4)


def prstatus(tid: int, signal: int = 0, **registers: int) -> bytes:
    names = [
        "r15",
        "r14",
        "r13",
        "r12",
        "rbp",
        "rbx",
        "r11",
        "r10",
        "r9",
        "r8",
        "rax",
        "rcx",
        "rdx",
        "rsi",
        "rdi",
        "orig_rax",
        "rip",
        "cs",
        "eflags",
        "rsp",
        "ss",
        "fs_base",
    ]
    words = [registers.get(name, 0) & (1 << 64) - 1 for name in names] + [0] * 5
    body = bytearray(112)
    struct.pack_into("<h", body, 12, signal)
    struct.pack_into("<i", body, 32, tid)
    return note(1, bytes(body) + struct.pack("<27Q", *words) + bytes(8))


def prstatus_aarch64(tid: int, sp: int = 0, pc: int = 0, tls: int = 0, **registers: int) -> bytes:
    """With the note that has the thread pointer, where there is one."""
    words = [registers.get(f"x{n}", 0) & (1 << 64) - 1 for n in range(31)] + [sp, pc, 0]
    body = bytearray(112)
    struct.pack_into("<i", body, 32, tid)
    status = note(1, bytes(body) + struct.pack("<34Q", *words) + bytes(8))
    return status + (note(0x401, struct.pack("<Q", tls), b"LINUX\0") if tls else b"")


def psinfo(pid: int, name: bytes, command: bytes) -> bytes:
    body = bytearray(136)
    struct.pack_into("<i", body, 24, pid)
    body[40 : 40 + len(name)] = name
    body[56 : 56 + len(command)] = command
    return note(3, bytes(body))


def files(mapped: Sequence[tuple[int, int, int, str]]) -> bytes:
    """(start, end, offset in pages, path) each."""
    table = b"".join(struct.pack("<QQQ", *row[:3]) for row in mapped)
    names = b"".join(row[3].encode() + b"\0" for row in mapped)
    return note(0x46494C45, struct.pack("<QQ", len(mapped), PAGE) + table + names)


def core(segments: Sequence[Segment], notes: bytes, machine: int = 62, kind: int = 4) -> bytes:
    count = 1 + len(segments)
    at = 64 + 56 * count
    table = struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(notes), 0, 4)
    at += len(notes)
    body = b""
    for each in segments:
        table += struct.pack("<IIQQQQQQ", 1, each.flags, at, each.address, 0, len(each.data), each.size, PAGE)
        body += each.data
        at += len(each.data)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    return head + table + notes + body

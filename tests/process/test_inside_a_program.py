"""A program that has an interpreter inside, under a name of its own and without the shared library."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from concview.process.pythons import _search

COOKIE = b"xdebugpy"


def elf(sections: dict[str, bytes], more: bytes = b"") -> bytes:
    """A 64-bit ELF file of nothing but its header, sections and their names; `more` lies behind."""
    names = b"\0"
    where: dict[str, int] = {}
    for name in (*sections, ".shstrtab"):
        where[name] = len(names)
        names += name.encode() + b"\0"
    body, table = b"", [bytes(64)]
    for name, data in {**sections, ".shstrtab": names}.items():
        table.append(struct.pack("<IIQQQQIIQQ", where[name], 1, 0, 0, 64 + len(body), len(data), 0, 0, 1, 0))
        body += data
    body += more
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(table), len(table) - 1)
    return head + body + b"".join(table)


OLD = bytes(64)  #: `_PyRuntime` up to 3.12 begins with flags
NEW = COOKIE + struct.pack("<QQ", 0x030E07F0, 1)
TEXT = b"\0PyThreadState_Get\0"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (elf({".text": b"x", ".PyRuntime": OLD}, TEXT + b"3.11.2\0"), ("3.11.2", False)),
        (elf({".text": b"x", ".PyRuntime": OLD}, TEXT + b"3.40.1\0" + b"3.10.13+\0"), ("3.10.13", False)),
        (elf({".text": b"x", ".PyRuntime": NEW}), ("3.14.7", True)),
        (elf({".text": b"x", ".PyRuntime": OLD}, TEXT), ("", False)),
        (elf({".text": b"x"}, TEXT + b"3.11.2\0"), ("", False)),  # a debugger, say: no runtime of its own
    ],
)
def test_the_version_of_a_program_with_an_interpreter_inside(
    tmp_path: Path, data: bytes, told: tuple[str, bool]
) -> None:
    file = tmp_path / "program"
    file.write_bytes(data)
    assert _search(str(file), "") == told

"""Symbols of modules that have the old table of hashes only (linked with --hash-style=sysv, as on some systems)."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from concview.cpython.elf import Module

#: Hashes as the System V ABI's own function gives them.
HASHES = {"printf": 0x077905A6, "exit": 0x0006CF04, "syscall": 0x0B09985C, "flapenguin.me": 0x03987915}
BASE, HASH, STRINGS, SYMBOLS = 0x7F0000000000, 0x1000, 0x2000, 0x3000


class Image:
    """Memory in which a module is loaded."""

    def __init__(self, buckets: int, names: list[str]) -> None:
        self.data = bytearray(0x4000)
        heads, chains, strings = [0] * buckets, [0] * (len(names) + 1), b"\0"
        for index, name in enumerate(names, 1):
            bucket = HASHES[name] % buckets
            heads[bucket], chains[index] = index, heads[bucket]
            struct.pack_into("<IBBHQQ", self.data, SYMBOLS + 24 * index, len(strings), 0x12, 0, 7, 0x100 * index, 8)
            strings += name.encode() + b"\0"
        table = struct.pack(f"<II{buckets}I{len(chains)}I", buckets, len(chains), *heads, *chains)
        self.data[HASH : HASH + len(table)] = table
        self.data[STRINGS : STRINGS + len(strings)] = strings
        header = bytearray(b"\x7fELF\x02\x01".ljust(64, b"\0"))
        struct.pack_into("<Q", header, 32, 64)
        struct.pack_into("<HH", header, 54, 56, 2)
        dynamic = struct.pack("<8Q", 4, HASH, 5, STRINGS, 6, SYMBOLS, 0, 0)
        self.data[0:64] = header
        self.data[64:120] = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, 0x4000, 0x4000, 0x1000)
        self.data[120:176] = struct.pack("<IIQQQQQQ", 2, 4, 0x200, 0x200, 0, len(dynamic), len(dynamic), 8)
        self.data[0x200 : 0x200 + len(dynamic)] = dynamic

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.data[address - BASE : address - BASE + size])

    read_some = read


def module(buckets: int, names: list[str]) -> Module:
    memory: Any = Image(buckets, names)
    return Module(memory, BASE)


@pytest.mark.parametrize("buckets", [1, 3, 1009])
def test_symbols_are_found_by_the_hash_of_system_v(buckets: int) -> None:
    names = ["printf", "exit", "syscall"]
    found = module(buckets, names)
    assert [found.symbol(name) for name in names] == [BASE + 0x100 * n for n in (1, 2, 3)]
    assert found.symbol("flapenguin.me") is None and found.symbol("") is None


def test_a_table_that_makes_no_sense_ends() -> None:
    image: Any = Image(3, ["printf", "exit", "syscall"])
    struct.pack_into("<4I", image.data, HASH + 8 + 12, 0, 1, 2, 3)  # each is its own successor
    assert Module(image, BASE).symbol("flapenguin.me") is None
    struct.pack_into("<I", image.data, HASH, 1 << 30)
    assert Module(image, BASE).symbol("printf") is None

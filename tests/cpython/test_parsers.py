"""Parsers of what the target's memory holds: any bytes give an answer, quickly."""

from __future__ import annotations

import dis
import struct
import sys
from types import CodeType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concview.cpython.code import parse_exception_table, parse_line_table
from concview.cpython.elf import Module
from concview.cpython.memory import BadAddress, Memory
from concview.cpython.objects import MAX_STRING, Objects
from concview.cpython.offsets import DEBUG_OFFSETS, OPCODES, Offsets, Unsupported, describe
from concview.cpython.walk import frame_struct


@given(st.binary(max_size=400), st.integers(-(2**31), 2**31 - 1))
def test_line_tables_of_any_bytes(table: bytes, first: int) -> None:
    starts, lines = parse_line_table(table, first)
    assert len(starts) == len(lines) <= len(table)
    assert starts == sorted(starts)
    assert all(0 <= line < 2**31 for line in lines)


@given(st.binary(max_size=400))
def test_exception_tables_of_any_bytes(table: bytes) -> None:
    for start, end, handler, depth in parse_exception_table(table):
        assert 0 <= start <= end and handler >= 0 and depth >= 0


def test_parsers_are_quick_on_the_worst_bytes() -> None:
    for byte in (0x00, 0x3F, 0x40, 0x7F, 0x80, 0xF0, 0xFF):
        parse_line_table(bytes([byte]) * 200_000, 1)
        parse_exception_table(bytes([byte]) * 200_000)


def _codes(code: CodeType) -> list[CodeType]:
    return [code, *(c for k in code.co_consts if isinstance(k, CodeType) for c in _codes(k))]


def test_tables_of_real_code() -> None:
    """Against the interpreter that runs the tests."""
    import argparse
    import asyncio.base_events
    import typing

    for module in (dis, argparse, typing, asyncio.base_events):
        assert module.__file__ is not None
        with open(module.__file__, encoding="utf-8") as file:
            for code in _codes(compile(file.read(), module.__file__, "exec")):
                starts, lines = parse_line_table(code.co_linetable, code.co_firstlineno)
                ours = dict(zip(starts, lines, strict=True))
                for start, _, line in code.co_lines():
                    assert ours[start] == (line or 0)
                theirs = [(e.start, e.end, e.target, e.depth) for e in dis._parse_exception_table(code)]  # type: ignore[attr-defined]
                assert parse_exception_table(code.co_exceptiontable) == theirs


class FakeMemory:
    """A few bytes at address 0x10000, nothing anywhere else."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read_some(self, address: int, size: int) -> bytes:
        at = address - 0x10000
        return self.data[at : at + max(0, size)] if at >= 0 else b""

    def read(self, address: int, size: int) -> bytes:
        data = self.read_some(address, size)
        if len(data) != size or size < 0 or size > 16 << 20:
            raise BadAddress("no")
        return data

    def read_many(self, wanted: list[tuple[int, int]]) -> list[bytes | None]:
        return [d if len(d := self.read_some(a, n)) == n else None for a, n in wanted]

    def word(self, address: int) -> int:
        return int(struct.unpack("<Q", self.read(address, 8))[0])

    def words(self, address: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.read(address, 8 * count)) if count else ()

    int32 = Memory.int32


def _layouts() -> list[Offsets]:
    """A plausible layout per version without a target: 3.11's and 3.12's are fixed."""
    return [describe(0x030B0000, b""), describe(0x030C0000, b"")]


_pieces = st.one_of(
    st.binary(min_size=8, max_size=8),
    st.integers(0x10000, 0x10800).map(lambda n: struct.pack("<Q", n)),
    st.sampled_from([b"\0" * 8, b"\xff" * 8, struct.pack("<Q", 3), struct.pack("<Q", 1 << 62)]),
)


@pytest.mark.parametrize("layout", _layouts(), ids=lambda o: f"{o.version[0]}.{o.version[1]}")
@given(pieces=st.lists(_pieces, max_size=200), offset=st.integers(0, 256))
@settings(max_examples=150)
def test_objects_of_any_bytes(layout: Offsets, pieces: list[bytes], offset: int) -> None:
    memory: Any = FakeMemory(b"".join(pieces))
    objects = Objects(memory, layout)
    address = 0x10000 + 8 * offset
    readers = (
        objects.string, lambda a: objects.integers([a]), objects.raw_bytes, objects.tuple_items, objects.attributes,
        objects.items_by_name, objects.type_of, lambda a: Module(memory, a).symbol("_PyRuntime"),
    )  # fmt: skip
    for reader in readers:
        try:
            value = reader(address)
        except BadAddress:
            continue
        if isinstance(value, str):
            assert len(value) <= MAX_STRING


@given(st.binary(min_size=2048, max_size=2048), st.sampled_from(sorted(DEBUG_OFFSETS)))
def test_debug_offsets_of_any_bytes(data: bytes, version: tuple[int, int]) -> None:
    try:
        offsets = describe(version[0] << 24 | version[1] << 16, b"xdebugpy" + data[8:])
    except Unsupported:
        return
    assert all(0 <= v <= 1 << 24 for k, v in offsets.values.items() if k not in ("cookie", "version"))


def test_frame_layouts() -> None:
    header = bytes(range(80))
    old = frame_struct(describe(0x030B0000, b"")).unpack_from(header)
    word = [int.from_bytes(header[i : i + 8], "little") for i in range(0, 80, 8)]
    assert old == (word[4], word[6], word[7], int.from_bytes(header[64:68], "little"), 68, 69)
    new = frame_struct(describe(0x030C0000, b"")).unpack_from(header)
    assert new == (word[0], word[1], word[7], int.from_bytes(header[64:68], "little"), 69, 70)


def test_opcodes_of_this_version() -> None:
    known = OPCODES.get(sys.version_info[:2])
    if known is None:
        pytest.skip("no table for the version that runs the tests")
    assert known.push_exc_info == dis.opmap["PUSH_EXC_INFO"]
    assert known.with_except_start == dis.opmap["WITH_EXCEPT_START"]
    assert {dis.opmap["RETURN_VALUE"], dis.opmap["YIELD_VALUE"]} <= known.leaving

"""Columns of an instruction, from 3.11 on (PEP 657): what of a line is being executed."""

from __future__ import annotations

import struct

from concview.cpython.code import Code, varint
from concview.cpython.memory import BadAddress
from concview.cpython.objects import Objects

_WORD = struct.Struct("<Q").unpack_from
#: Kinds of entries of the line table: see `code.parse_line_table`.
_NO_LOCATION, _LONG, _NO_COLUMNS, _ONE_LINE_0, _ONE_LINE_2 = 15, 14, 13, 10, 12


def columns(table: bytes, lasti: int) -> tuple[int, int]:
    """(first column, column behind the last) in bytes of UTF-8 from 0 on, of the instruction at byte `lasti`.

    (0, 0) where the table does not say. The end is that of the expression, on whatever line it ends.
    """
    address = i = 0
    size = len(table)
    while i < size and address <= lasti:
        head = table[i]
        i += 1
        start = end = 0
        kind = head >> 3 & 15
        if kind == _LONG:
            _, i = varint(table, i)
            _, i = varint(table, i)
            start, i = varint(table, i)
            end, i = varint(table, i)
            start, end = start - 1, end - 1  # 0: none
        elif kind == _NO_COLUMNS:
            _, i = varint(table, i)
        elif _ONE_LINE_0 <= kind <= _ONE_LINE_2:
            if i + 1 < size:
                start, end = table[i], table[i + 1]
            i += 2
        elif kind != _NO_LOCATION:
            if i < size:
                start = kind << 3 | table[i] >> 4
                end = start + (table[i] & 15)
            i += 1
        address += 2 * ((head & 7) + 1)
        if lasti < address:
            return (start, end) if 0 <= start < end else (0, 0)
    return 0, 0


class Positions:
    """Columns of instructions, each worked out once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._at = -1 if objects.offsets.features.heap_frames else objects.offsets["co.linetable"]
        self._known: dict[tuple[int, int], tuple[bytes, tuple[int, int]]] = {}

    def of(self, code: Code, lasti: int) -> tuple[int, int]:
        """(0, 0) up to 3.10, and where it cannot be told."""
        if self._at < 0 or lasti < 0:
            return 0, 0
        key = code.address, lasti
        known = self._known.get(key)
        if known is not None and known[0] is code.fingerprint:
            return known[1]
        try:
            found = columns(self._objects.raw_bytes(_WORD(code.fingerprint, self._at)[0]), lasti)
        except (BadAddress, struct.error):
            return 0, 0
        if len(self._known) >= 4096:
            self._known.clear()
        self._known[key] = code.fingerprint, found
        return found

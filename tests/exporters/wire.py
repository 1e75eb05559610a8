"""Reads protocol buffers without their description: enough to look into what was written."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data: bytes) -> dict[int, list[Any]]:
    """{number: its values}; integers, or bytes of strings and messages."""
    found: dict[int, list[Any]] = defaultdict(list)
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: Any
        if key & 7 == 0:
            value, at = _varint(data, at)
        elif key & 7 == 1:
            value, at = data[at : at + 8], at + 8
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            size, at = _varint(data, at)
            assert at + size <= len(data)
            value, at = data[at : at + size], at + size
        found[key >> 3].append(value)
    return dict(found)


def one(message: dict[int, list[Any]], number: int) -> Any:
    """The value of a field that is there at most once; 0 when it is not."""
    values = message.get(number, [0])
    assert len(values) == 1
    return values[0]


def numbers(packed: bytes) -> list[int]:
    found = []
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        found.append(value)
    return found

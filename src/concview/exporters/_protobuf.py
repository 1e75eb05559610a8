"""Protocol buffers by hand: the few shapes that pprof and Perfetto need. Library-free, and a tenth of its time."""

from __future__ import annotations

from collections.abc import Iterable


def varint(number: int) -> bytes:
    """Negative numbers as 64-bit two's complement."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def integer(field: int, value: int) -> bytes:
    """A number, bool or enum; nothing for zero, which is the default of most fields."""
    return varint(field << 3) + varint(value) if value else b""


def present(field: int, value: int) -> bytes:
    """A number that must be there even when it is zero."""
    return varint(field << 3) + varint(value)


def text(field: int, value: bytes | str) -> bytes:
    """A string, bytes or a message."""
    if isinstance(value, str):
        value = value.encode()
    return varint(field << 3 | 2) + varint(len(value)) + value


def packed(field: int, values: Iterable[int]) -> bytes:
    return text(field, b"".join(map(varint, values)))

"""Line tables before 3.11: pairs of bytes. (start offsets in bytes, lines), as `code.parse_line_table` gives them."""

from __future__ import annotations


def parse_lnotab(table: bytes, first_line: int) -> tuple[list[int], list[int]]:
    """3.8, 3.9 (`Objects/lnotab_notes.txt`): what to add to the address, what to add to the line (signed)."""
    starts, lines = [0], [first_line]
    address, line = 0, first_line
    for i in range(0, len(table) - 1, 2):
        if table[i]:
            address += table[i]
            starts.append(address)
            lines.append(line)
        line += table[i + 1] - (256 if table[i + 1] > 127 else 0)
        lines[-1] = line
    return starts, [line if 0 < line < 1 << 31 else 0 for line in lines]


def parse_linetable(table: bytes, first_line: int) -> tuple[list[int], list[int]]:
    """3.10 (PEP 626): length of a range, what to add to the line before it (signed; -128: the range has no line)."""
    starts: list[int] = []
    lines: list[int] = []
    address, line = 0, first_line
    for i in range(0, len(table) - 1, 2):
        length, delta = table[i], table[i + 1] - (256 if table[i + 1] > 127 else 0)
        if delta != -128:
            line += delta
        if length:
            starts.append(address)
            lines.append(line if delta != -128 and 0 < line < 1 << 31 else 0)
        address += length
    return starts, lines

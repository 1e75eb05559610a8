"""Lists of anti-patterns and of their demos, under the catalogue's headings."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby


def under_headings(entries: Iterable[tuple[str, str, str]]) -> str:
    """`entries`: (group, id, title), those of a group one behind the other. A line each, indented; an empty line
    between groups."""
    rows = list(entries)
    width = max((len(name) for _, name, _ in rows), default=0)
    blocks = []
    for group, members in groupby(rows, key=lambda row: row[0]):
        blocks.append("\n".join([group, *(f"  {name:<{width}}  {title}" for _, name, title in members)]))
    return "\n\n".join(blocks) + "\n"

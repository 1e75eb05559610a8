"""Tables by address that do not grow: addresses come and go for ever."""

from __future__ import annotations

from typing import TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


def remember(table: dict[_K, _V], key: _K, value: _V, most: int) -> None:
    """Keep a value. A table that is full begins anew."""
    if len(table) >= most and key not in table:
        table.clear()
    table[key] = value

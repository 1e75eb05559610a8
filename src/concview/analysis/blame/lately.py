"""What was worked out, or seen, lately: tables that forget, so that hours take no more memory than minutes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")
_MANY = 256


class Lately(Generic[_K, _V]):
    """Keeps what was put in, or asked for, since the turn before the last one; `most` values in each of the two."""

    __slots__ = ("_before", "_most", "_now")

    def __init__(self, most: int) -> None:
        self._most = most
        self._now: dict[_K, _V] = {}
        self._before: dict[_K, _V] = {}

    def __len__(self) -> int:
        return len(self._now) + len(self._before)

    def get(self, key: _K) -> _V | None:
        found = self._now.get(key)
        if found is None and key in self._before:
            found = self._before.pop(key)
            self.put(key, found)
        return found

    def put(self, key: _K, value: _V) -> None:
        if len(self._now) >= self._most:
            self.turn()
        self._now[key] = value

    def turn(self) -> None:
        """From now on what has not been asked for since the last turn is forgotten."""
        self._before, self._now = self._now, {}

    def clear(self) -> None:
        self._now, self._before = {}, {}


class SeenSets(Generic[_K, _V]):
    """Sets by key, in the order in which they were added to last. `get` is that of a dictionary."""

    __slots__ = ("_most", "_sets", "get")

    def __init__(self, most: int) -> None:
        self._most = most
        self._sets: dict[_K, set[_V]] = {}
        self.get = self._sets.get

    def __len__(self) -> int:
        return len(self._sets)

    def add(self, key: _K, value: _V) -> None:
        known = self._sets.pop(key, None)
        if known is None:
            known = set()
            if len(self._sets) >= self._most:
                del self._sets[next(iter(self._sets))]
        known.add(value)
        self._sets[key] = known

    def keys_of(self, value: _V) -> list[_K]:
        """Those whose set this is in. Takes as long as there are keys."""
        return [key for key, known in self._sets.items() if value in known]

    def keep(self, values: set[_V]) -> None:
        """Drop the keys of none of these; and of a set with many members, those that are none of these."""
        for key, known in list(self._sets.items()):
            if known.isdisjoint(values):
                del self._sets[key]
            elif len(known) > _MANY:
                known &= values

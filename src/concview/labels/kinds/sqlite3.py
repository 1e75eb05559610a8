"""sqlite3 of the standard library: a call into C, seen on the value stack of the frame that makes it."""

from __future__ import annotations

from concview.labels.base import Kind, Raw, View
from concview.labels.kinds._sql import query

_TYPES = frozenset({"sqlite3.Connection", "sqlite3.Cursor"})
_METHODS = frozenset({"execute", "executemany", "executescript"})


def read(view: View) -> Raw | None:
    found = view.call(_TYPES, _METHODS)
    return query("sqlite3", found[1], found[0]) if found is not None else None


KIND = Kind("sqlite3", (), read, _METHODS)

"""psycopg2: a call into C, seen on the value stack of the frame that makes it. Seen with 2.9."""

from __future__ import annotations

from concview.labels.base import Kind, Raw, View
from concview.labels.kinds._sql import query

_TYPES = frozenset({"psycopg2.extensions.cursor"})
_METHODS = frozenset({"execute", "executemany", "callproc", "copy_expert"})


def read(view: View) -> Raw | None:
    found = view.call(_TYPES, _METHODS)
    return query("psycopg2", found[1], found[0]) if found is not None else None


KIND = Kind("psycopg2", (), read, _METHODS)

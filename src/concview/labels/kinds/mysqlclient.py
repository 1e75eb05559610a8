"""mysqlclient: a call into C, seen on the value stack of the frame that makes it. Seen with 2.2."""

from __future__ import annotations

from concview.labels.base import Kind, Raw, View
from concview.labels.kinds._sql import query

_TYPES = frozenset({"MySQLdb._mysql.connection", "_mysql.connection"})
_METHODS = frozenset({"query"})


def read(view: View) -> Raw | None:
    found = view.call(_TYPES, _METHODS)
    return query("mysqlclient", found[1], found[0]) if found is not None else None


KIND = Kind("mysqlclient", (), read, _METHODS)

"""PyMySQL. Seen with 1.2."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._sql import query


def read(view: View) -> Raw | None:
    return query("pymysql", view.local("query"), view.local("self"))


KIND = Kind("pymysql", (At("pymysql/cursors.py", "Cursor.execute"),), read)

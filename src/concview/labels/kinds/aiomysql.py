"""aiomysql. Seen with 0.3."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._sql import query


def read(view: View) -> Raw | None:
    return query("aiomysql", view.local("query"), view.local("self"))


KIND = Kind("aiomysql", (At("aiomysql/cursors.py", "Cursor.execute"),), read)

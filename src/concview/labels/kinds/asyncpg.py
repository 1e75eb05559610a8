"""asyncpg. Seen with 0.32."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._sql import query


def read(view: View) -> Raw | None:
    return query("asyncpg", view.local("query"), view.local("self"))


_FILE = "asyncpg/connection.py"
KIND = Kind(
    "asyncpg",
    (
        At(_FILE, "Connection.execute"),
        At(_FILE, "Connection.fetch"),
        At(_FILE, "Connection._execute"),
        At(_FILE, "Connection._do_execute"),
    ),
    read,
)

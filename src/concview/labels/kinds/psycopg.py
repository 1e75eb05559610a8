"""psycopg 3, sync and async. Seen with 3.1 and 3.3."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._sql import query


def read(view: View) -> Raw | None:
    return query("psycopg", view.local("query"), view.local("self"))


KIND = Kind(
    "psycopg",
    (
        At("psycopg/cursor.py", "Cursor.execute"),
        At("psycopg/cursor.py", "Cursor.executemany"),
        At("psycopg/cursor_async.py", "AsyncCursor.execute"),
        At("psycopg/cursor_async.py", "AsyncCursor.executemany"),
    ),
    read,
)

"""MySQL's own driver, mysql-connector-python: in Python, in C, and for asyncio. Seen with 8.0 and 26.10."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._sql import query


def read(view: View) -> Raw | None:
    return query("mysql.connector", view.local("operation"), view.local("self"))


_CURSORS = (
    ("mysql/connector/cursor.py", "MySQLCursor"),
    ("mysql/connector/cursor.py", "MySQLCursorPrepared"),
    ("mysql/connector/cursor_cext.py", "CMySQLCursor"),
    ("mysql/connector/cursor_cext.py", "CMySQLCursorPrepared"),
    ("mysql/connector/aio/cursor.py", "MySQLCursor"),
    ("mysql/connector/aio/cursor.py", "MySQLCursorPrepared"),
)
KIND = Kind(
    "mysql.connector",
    tuple(At(file, f"{cursor}.{n}") for file, cursor in _CURSORS for n in ("execute", "executemany")),
    read,
)

"""aiosqlite: the statement that a task waits for, and the thread that runs it. Seen with 0.17 and 0.22."""

from __future__ import annotations

from concview.labels.base import At, Kind, Link, Raw, View
from concview.labels.kinds._sql import query


def read(view: View) -> Raw | None:
    statement = view.local("sql") or view.local("sql_script")
    return query("aiosqlite", statement, view.local("self"))


def _future(view: View) -> int:
    return view.local("future").address


_CORE, _CURSOR = "aiosqlite/core.py", "aiosqlite/cursor.py"
_CALLS = ("execute", "executemany", "executescript")
KIND = Kind(
    "aiosqlite",
    (
        *(At(_CORE, f"Connection.{n}") for n in (*_CALLS, "execute_insert", "execute_fetchall")),
        *(At(_CURSOR, f"Cursor.{n}") for n in _CALLS),
    ),
    read,
)
LINK = Link((At(_CORE, "_connection_worker_thread"), At(_CORE, "Connection.run")), _future)

"""asyncpg. Seen with 0.32."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._sql import query


def read(view: View) -> Raw | None:
    caller = view.local("self")
    # A statement that was prepared, and a cursor, know theirs; so SQLAlchemy executes all of its.
    statement = view.local("query") or view.local("copy_stmt") or caller.attr("_query")
    return query("asyncpg", statement, caller)


_CONNECTION, _STATEMENT, _CURSOR = "asyncpg/connection.py", "asyncpg/prepared_stmt.py", "asyncpg/cursor.py"
_OF_CONNECTIONS = (
    "execute",
    "fetch",
    "_execute",
    "_executemany",
    "_do_execute",
    "_get_statement",
    "_copy_in",
    "_copy_out",
)
KIND = Kind(
    "asyncpg",
    (
        *(At(_CONNECTION, f"Connection.{name}") for name in _OF_CONNECTIONS),
        *(At(_STATEMENT, f"PreparedStatement.{name}") for name in ("__do_execute", "__bind_execute")),
        *(At(_CURSOR, f"BaseCursor.{name}") for name in ("_bind_exec", "_bind", "_exec")),
    ),
    read,
)

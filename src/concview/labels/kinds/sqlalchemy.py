"""SQLAlchemy: the statement that it hands to a driver. Seen with 1.4 and 2.1."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._sql import query


def read(view: View) -> Raw | None:
    return query("sqlalchemy", view.local("statement"), view.local("context"), view.local("cursor"))


_FILE = "sqlalchemy/engine/default.py"
KIND = Kind(
    "sqlalchemy",
    tuple(At(_FILE, f"DefaultDialect.do_execute{n}") for n in ("", "many", "_no_params")),
    read,
)

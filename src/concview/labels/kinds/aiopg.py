"""aiopg, psycopg2 with asyncio. Seen with 1.4."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._sql import query


def read(view: View) -> Raw | None:
    caller = view.local("self")
    return query("aiopg", view.local("operation"), caller, caller.attr("_impl"))


#: Up to 1.2 in a file of its own.
KIND = Kind("aiopg", tuple(At(f"aiopg/{file}.py", "Cursor.execute") for file in ("connection", "cursor")), read)

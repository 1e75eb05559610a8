"""MariaDB's own driver. Seen with 1.1."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._sql import query


def read(view: View) -> Raw | None:
    return query("mariadb", view.local("statement"), view.local("self"))


KIND = Kind("mariadb", tuple(At("mariadb/cursors.py", f"Cursor.{n}") for n in ("execute", "executemany")), read)

"""A transaction that is open on a connection which a function has in a variable: also while it does something else.

Told where the connection itself says that one is open, and counts them, so that the next one on the same connection is
never taken for this one: psycopg2's `status` and `mark` ("number of commits/rollbacks done so far",
psycopg/connection.h, the same from 2.8 to 2.9), also through SQLAlchemy's connections and sessions. Begins with the
first statement, not with the connection; with autocommit there is none.

psycopg 3 keeps that state in libpq, whose structure is another one in each release, and asyncpg, PyMySQL, mysqlclient
and sqlite3 do not count: nothing is told of theirs.
"""

from __future__ import annotations

import struct

from concview.labels.access import Ref
from concview.labels.base import Kind, Raw, View
from concview.model import WorkKind

_VARIABLES = ("conn", "connection", "con", "cnx", "cur", "curs", "cursor", "db", "session", "c")
_CONNECTION, _CURSOR = "psycopg2.extensions.connection", "psycopg2.extensions.cursor"
#: Behind the header and the mutex of glibc on x86-64: dsn, error, encoding, closed, mark, status. Where the mutex is
#: larger, a pointer is read as `closed`, which is not 0 then.
_CONNECTION_AT, _STATE = 64, struct.Struct("<qqi")
_BEGIN = 2


def read(view: View) -> Raw | None:
    for name in _VARIABLES:
        value = view.local(name)
        if value and (connection := _connection(value)):
            closed, mark, status = _STATE.unpack(connection.raw(_CONNECTION_AT, _STATE.size))
            if closed == 0 and mark >= 0 and status == _BEGIN:
                return Raw(WorkKind.TRANSACTION, ("psycopg2", connection.address, mark))
    return None


def _connection(value: Ref) -> Ref | None:
    """psycopg2's, behind what is given; None for anything else."""
    kind = value.type
    if kind == "Session":  # of SQLAlchemy: engine or connection -> (connection, transaction, ...)
        value = value.attr("_transaction", "_connections").first()[1].at(0)
        kind = value.type
    if kind == "Connection":
        value = value.attr("_dbapi_connection", "dbapi_connection")
        kind = value.type
    if kind.endswith(_CURSOR):
        value = value.word(0)
        kind = value.type
    return value if kind.endswith(_CONNECTION) else None


KIND = Kind("psycopg2", (), read, variables=frozenset(_VARIABLES), own=True)

"""A transaction that stays open across slow work.

Four threads write to one SQLite database.

bad:   each begins its transaction, works 80 ms, inserts and commits; the three others try again and again.
fixed: it works first, and writes in one go.

Look at: threads that sleep inside `execute`.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time

from _stage import perform, start  # type: ignore[import-not-found]

ID = "database-locked"
GROUP = "Locks"

path = tempfile.mkdtemp() + "/orders.db"


def connect() -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=30, isolation_level=None)


def work() -> None:
    time.sleep(0.08)


def write_bad() -> None:
    db = connect()
    while True:
        db.execute("begin immediate")
        work()
        db.execute("insert into orders values (1)")
        db.execute("commit")


def write_fixed() -> None:
    db = connect()
    while True:
        work()
        db.execute("insert into orders values (1)")


def prepare() -> None:
    db = connect()
    db.execute("pragma journal_mode=wal")
    db.execute("pragma synchronous=off")
    db.execute("create table orders (number)")
    db.close()


def bad() -> None:
    prepare()
    for number in range(4):
        start(f"writer-{number}", write_bad)


def fixed() -> None:
    prepare()
    for number in range(4):
        start(f"writer-{number}", write_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

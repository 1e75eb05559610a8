"""Four workers with a SQLite connection each: short transactions on one file in WAL mode."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time

from _program import perform, start


def program() -> None:
    folder = tempfile.mkdtemp(prefix="healthy-sqlite-")
    path = os.path.join(folder, "data.db")  # noqa: PTH118 - sqlite3 of old versions wants text
    with sqlite3.connect(path) as setup:
        setup.execute("pragma journal_mode=wal")
        setup.execute("create table event (worker integer, at real)")
    ready = []

    def worker(number: int) -> None:
        connection = sqlite3.connect(path, timeout=10)
        connection.execute("pragma synchronous=off")
        connection.execute("select count(*) from event").fetchone()
        ready.append(number)
        while True:
            with connection:
                rows = [(number, time.time()) for _ in range(20)]
                connection.executemany("insert into event values (?, ?)", rows)
                connection.execute("delete from event where at < ?", (time.time() - 5,))
            connection.execute("select count(*) from event where worker = ?", (number,)).fetchone()
            time.sleep(0.1 + number / 100)

    for number in range(4):
        start(f"worker-{number}", worker, number)
    while len(ready) < 4:
        time.sleep(0.01)
    # All have it open: nothing is left on disk, however this program ends
    shutil.rmtree(folder)


if __name__ == "__main__":
    perform(program)

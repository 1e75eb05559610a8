"""A C extension works, or waits for another connection, while the lock is held."""

import contextlib
import sqlite3
import tempfile
import threading

LOCK = threading.Lock()
PATH = tempfile.mkdtemp() + "/corpus.db"
SUM = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) select sum(i) from n"


def work(log):
    connection = sqlite3.connect(PATH, timeout=0.02, check_same_thread=False)
    while log.on:
        log.asks(LOCK)
        with LOCK:
            log.has(LOCK)
            connection.execute(SUM).fetchall()
            log.leaves(LOCK)
        log.left(LOCK)
        log.rest()


def busy(log):
    connection = sqlite3.connect(PATH, timeout=0.02, isolation_level=None)
    connection.execute("create table if not exists t (x)")
    while log.on:
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("begin immediate")
            log.rest()
            connection.execute("rollback")


def start(log):
    log.thread(busy, log)
    for _ in range(2):
        log.thread(work, log)

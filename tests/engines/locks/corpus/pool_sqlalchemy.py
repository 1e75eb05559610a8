"""SQLAlchemy's connection pool: its queue has a mutex under two conditions; connections wait for room."""

import sqlite3

from sqlalchemy.pool import QueuePool
from sqlalchemy.util.queue import Queue

NEEDS = "sqlalchemy"


class Slow(Queue):
    log = None

    def _put(self, item):
        self.log.has(self.mutex)
        self.log.pause()
        super()._put(item)
        self.log.leaves(self.mutex)


class Pool(QueuePool):
    _queue_class = Slow


def work(log, pool):
    while log.on:
        log.asks(pool._pool.mutex)
        connection = pool.connect()
        log.left(pool._pool.mutex)
        log.rest()
        log.asks(pool._pool.mutex)
        connection.close()  # goes back into the queue
        log.left(pool._pool.mutex)
        log.rest()


def start(log):
    Slow.log = log
    pool = Pool(lambda: sqlite3.connect(":memory:", check_same_thread=False), pool_size=3, max_overflow=0)
    for _ in range(4):
        log.thread(work, log, pool)

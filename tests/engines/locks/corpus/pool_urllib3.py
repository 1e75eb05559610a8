"""urllib3: the pool of pools makes a new one under an RLock; connections wait in a LIFO queue."""

import queue

from urllib3 import PoolManager
from urllib3.connectionpool import HTTPConnectionPool

NEEDS = "urllib3"


class Manager(PoolManager):
    log = None

    def _new_pool(self, *args, **kwargs):
        self.log.has(self.pools.lock)
        self.log.pause()
        pool = super()._new_pool(*args, **kwargs)
        self.log.leaves(self.pools.lock)
        return pool


class Slow(queue.LifoQueue):
    log = None

    def _put(self, item):
        if item is not None:  # the pool fills itself with empty places when it is made
            self.log.has(self.mutex)
            self.log.pause()
        super()._put(item)
        if item is not None:
            self.log.leaves(self.mutex)


class Pool(HTTPConnectionPool):
    QueueCls = Slow


def find(log, manager, number):
    while log.on:
        log.asks(manager.pools.lock)
        manager.clear()
        log.left(manager.pools.lock)
        log.asks(manager.pools.lock)
        manager.connection_from_host("localhost", 1 + number)
        log.left(manager.pools.lock)
        log.rest()


def use(log, pool):
    while log.on:
        log.asks(pool.pool.mutex)
        connection = pool._get_conn(timeout=5)
        log.left(pool.pool.mutex)
        log.rest()
        log.asks(pool.pool.mutex)
        pool._put_conn(connection)
        log.left(pool.pool.mutex)


def start(log):
    Manager.log = Slow.log = log
    manager = Manager()
    pool = Pool("localhost", 1, maxsize=2, block=True)
    for i in range(2):
        log.thread(find, log, manager, i)
        log.thread(use, log, pool)

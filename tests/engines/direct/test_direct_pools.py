"""Pools of connections of well-known libraries, read from outside: how many are free, of how many, and who waits.

The libraries are the real ones, with connections that need no server. Where one is not installed beside our Python its
tests are skipped: `pip install psycopg[binary,pool] sqlalchemy urllib3 redis`, or name a folder with them in
CONCVIEW_POOLS.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from direct_helpers import KeepingSink, tick_until, tick_until_passes, watching

from concview.model import Depths, PoolDepth, QueueDepth
from interpreters import Interpreter, current, target

#: Three ask for two connections; told so, the two give theirs back.
PROGRAM = r"""
import sys, threading
sys.path[:0] = %r
%s
back = threading.Event()
def ask():
    one = take()
    back.wait()
    give(one)
threads = [threading.Thread(target=ask, daemon=True) for n in range(3)]
for thread in threads:
    thread.start()
print("ready")
sys.stdin.readline()
back.set()
for thread in threads:
    thread.join()
print("done", flush=True)
def look(pool):
    threading.Event().wait()
look(pool)
"""
PSYCOPG = """
from types import SimpleNamespace
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool
class Connection:
    closed = False
    _pool = None
    def __init__(self):
        self.pgconn = SimpleNamespace(transaction_status=TransactionStatus.IDLE)
    @classmethod
    def connect(cls, info, **options):
        return cls()
    def close(self):
        pass
pool = ConnectionPool("", connection_class=Connection, min_size=2, max_size=2, open=True)
pool.wait()
take, give = pool.getconn, pool.putconn
"""
SQLALCHEMY = """
import sqlite3
from sqlalchemy.pool import QueuePool
pool = QueuePool(lambda: sqlite3.connect(":memory:", check_same_thread=False), pool_size=2, max_overflow=0)
take, give = pool.connect, lambda one: one.close()
"""
URLLIB3 = """
from urllib3.connectionpool import HTTPConnectionPool
pool = HTTPConnectionPool("localhost", 1, maxsize=2, block=True)
take, give = pool._get_conn, pool._put_conn
"""
REDIS = """
import redis
class Connection(redis.Connection):
    def connect(self):
        pass
    def can_read(self, timeout=0):
        return False
pool = redis.BlockingConnectionPool(connection_class=Connection, max_connections=2, timeout=None)
take, give = pool.get_connection, pool.release
"""
POOLS = {"psycopg_pool": PSYCOPG, "sqlalchemy": SQLALCHEMY, "urllib3": URLLIB3, "redis": REDIS}
KINDS = {"psycopg_pool": "ConnectionPool", "sqlalchemy": "Queue", "urllib3": "LifoQueue", "redis": "LifoQueue"}


def _folder(library: str) -> str:
    """Where a library lies."""
    for folder in filter(None, os.environ.get("CONCVIEW_POOLS", "").split(os.pathsep)):
        if Path(folder, library).is_dir():
            return folder
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"NOT TESTED: {library} is not installed (see the head of this file)")
    return str(Path(spec.submodule_search_locations[0]).parent)


@pytest.mark.parametrize("library", POOLS)
def test_an_exhausted_pool(library: str) -> None:
    python: Interpreter = current()
    source = PROGRAM % ([_folder(library)], POOLS[library])
    with target(python, source) as process, watching(process.pid) as (engine, sink):

        def exhausted() -> None:
            pool = _of(sink, library)[-1]
            assert len(_waiting(sink, library)) == 1
            assert (pool.size, pool.most, pool.puts >= 0) == (0, 2, library == "sqlalchemy")
            assert pool.failed == (0 if library == "psycopg_pool" else -1)
            assert set(_waiting(sink, library)) <= set(pool.users)

        tick_until_passes(engine, exhausted)

        process.send("")
        assert process.line() == "done"
        tick_until(engine, lambda: _of(sink, library)[-1].size == 2 and not _waiting(sink, library))


def test_a_pool_whose_every_attempt_to_connect_fails() -> None:
    refused = PSYCOPG.replace("return cls()", "raise psycopg.OperationalError('refused')").replace("pool.wait()", "")
    source = PROGRAM % ([_folder("psycopg_pool")], "import psycopg\n" + refused)
    with target(current(), source) as process, watching(process.pid) as (engine, sink):

        def refused_them() -> None:
            pool = _of(sink, "psycopg_pool")[-1]
            assert (pool.size, pool.most) == (0, 2)
            assert pool.failed > 0 and len(pool.users) >= 3

        tick_until_passes(engine, refused_them)


def _of(sink: KeepingSink, library: str) -> list[QueueDepth]:
    depths = [e for e in sink.events if isinstance(e, Depths)]
    return [q for e in depths for q in e.queues if (q.kind, q.most) == (KINDS[library], 2)]


def _waiting(sink: KeepingSink, library: str) -> list[int]:
    """The threads that wait for one of the pool's connections, by the last tick."""
    address = _of(sink, library)[-1].address
    waits = {tid: sink.waits[row[2]] for tid, row in sink.rows.items()}
    return [tid for tid, wait in waits.items() if wait and (wait.lock, wait.via) == (address, "Queue.get")]


#: As waitress 3 and Twisted 26 have them, and no more of it than is read.
SERVERS = {
    "waitress/task.py": """
import collections, threading
class ThreadedTaskDispatcher:
    stop_count = active_count = 0
    def __init__(self):
        self.threads, self.queue, self.queue_cv = set(), collections.deque(), threading.Condition()
    def handler_thread(self, number):
        while True:
            with self.queue_cv:
                while not self.queue:
                    self.queue_cv.wait()
                task = self.queue.popleft()
            task()
def start(task, back):
    pool = ThreadedTaskDispatcher()
    pool.queue.extend([task] * 5)
    for number in range(2):
        pool.threads.add(number)
        threading.Thread(target=pool.handler_thread, args=(number,), daemon=True).start()
""",
    "twisted/_threads/_team.py": """
import collections, threading
class Team:
    def __init__(self):
        self._idle, self._busyCount, self._pending, self._coordinator = set(), 2, collections.deque(), None
    def do(self, task):
        def doWork():
            task()
            self._busyCount -= 1
        threading.Thread(target=doWork, daemon=True).start()
def start(task, back):
    pool = Team()
    pool._pending.extend([task] * 3)
    for number in range(2):
        pool.do(task)
""",
}


@pytest.mark.few
@pytest.mark.parametrize("server", SERVERS)
def test_a_servers_pool_of_threads(server: str, interpreter: Interpreter, tmp_path: Path) -> None:
    file = tmp_path / "site-packages" / server
    file.parent.mkdir(parents=True)
    file.write_text(SERVERS[server])
    name = server.removesuffix(".py").replace("/", ".")
    source = f"""
import sys, threading
sys.path.insert(0, {str(tmp_path / "site-packages")!r})
from {name} import start
back, both = threading.Event(), threading.Barrier(3)
def task():
    both.wait()
    back.wait()
start(task, back)
both.wait()
print("ready", flush=True)
sys.stdin.readline()
"""
    with target(interpreter, source) as process, watching(process.pid) as (engine, sink):

        def pools() -> list[tuple[PoolDepth, QueueDepth]]:
            depths = [e for e in sink.events if isinstance(e, Depths)]
            return [(p, q) for e in depths for p in e.pools for q in e.queues if p.queue == q.address]

        def told() -> None:
            pool, queue = pools()[-1]
            assert len(pool.workers) == 2
            assert (pool.name, pool.most, pool.threads) == (server.partition("/")[0], 2, 2)
            assert (queue.kind, queue.size, queue.most) in {("ThreadedTaskDispatcher", 3, 0), ("Team", 3, 0)}

        tick_until_passes(engine, told)

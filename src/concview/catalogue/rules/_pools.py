"""Connection pools of well-known libraries: who uses a connection, how they are sized. Where a caller waits for one is
told by `known_places`."""

from __future__ import annotations

from concview.analysis.known_places import bare
from concview.model import Frame, Stack
from concview.source.origin import is_module

#: Library that keeps a connection for one request and no longer -> (file in the library, bare functions) that use it.
USED = {
    "urllib3": ("urllib3/connectionpool.py", frozenset({"_make_request"})),
    "HTTPX": ("httpcore/_sync/connection.py", frozenset({"handle_request"})),
    "redis": ("redis/connection.py", frozenset({"read_response", "send_command", "send_packed_command"})),
}
#: Library -> (file in the library, bare functions) that take one for longer than the request they wait for: a
#: transaction of redis keeps its connection from WATCH on to EXEC.
_KEPT = {"redis": ("redis/client.py", frozenset({"immediate_execute_command"}))}
_NOWHERE: tuple[str, frozenset[str]] = ("", frozenset())
#: Library -> a use that gives the connection back before anything else is done.
_TAKEN = {
    "SQLAlchemy": "with engine.connect() as db: rows = db.execute(query).all()",
    "psycopg": "with pool.connection() as db: rows = db.execute(query).fetchall()",
    "PyMongo": "rows = list(collection.find(query))",
    "DBUtils": "with pool.connection() as db, db.cursor() as cursor: rows = fetch(cursor, query)",
    "kombu": "with producers[connection].acquire(block=True) as producer: producer.publish(body)",
    "peewee": "with database.connection_context(): rows = list(query)",
    "redis": "with client.pipeline() as pipe: pipe.watch(key); rows = pipe.get(key); ...; pipe.execute()",
}
#: Library -> how its pool is made larger.
_SIZED = {
    "SQLAlchemy": "create_engine(url, pool_size=10, max_overflow=10)",
    "psycopg": "ConnectionPool(conninfo, max_size=10)",
    "PyMongo": "MongoClient(uri, maxPoolSize=10)",
    "DBUtils": "PooledDB(driver, maxconnections=10, blocking=True)",
    "kombu": "kombu.pools.set_limit(10)",
    "peewee": "PooledPostgresqlDatabase(name, max_connections=10)",
    "urllib3": "PoolManager(maxsize=10, block=True)",
    "HTTPX": "httpx.Client(limits=httpx.Limits(max_connections=10))",
    "redis": "BlockingConnectionPool(max_connections=10)",
}


def _in(part: str, frame: Frame) -> bool:
    return bool(part) and is_module(frame.file, part, frame.origin)


def uses(library: str, frame: Frame) -> bool:
    """Whether the frame is the library's own use of a connection that was given to it for one request."""
    part, functions = USED.get(library, _NOWHERE)
    return _in(part, frame) and bare(frame.function) in functions


def keeps(library: str, stack: Stack) -> bool:
    """Whether the thread that waits so will keep the connection after the request that it waits to make."""
    if library not in USED:
        return True
    part, functions = _KEPT.get(library, _NOWHERE)
    return any(_in(part, f) and bare(f.function) in functions for f in stack.frames)


def fix(library: str, one_request: bool) -> str:
    enough = "Enough are as many as are in use at once: requests a second x the seconds each keeps one."
    if one_request:
        return (
            "A connection is kept for one request. Make the pool as large as the number of threads that ask at once, "
            f"or ask less often.\n\n    {_SIZED[library]}\n\n{enough}"
        )
    return (
        "Give it back before doing anything that needs no connection; then make the pool large enough.\n\n"
        f"    {_TAKEN[library]}      # page = render(rows) comes after it\n"
        f"    {_SIZED[library]}\n\n{enough}"
    )

"""Pools of real libraries, exhausted: who waits, limit and use, who has what is in use.

The libraries are looked for in the interpreter that $CONCVIEW_LIBRARIES names, or in the one that runs the tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tasks_helpers import watched

from interpreters import Interpreter, target

SOURCE = (Path(__file__).parent / "pools.py").read_text()
SOURCE_OF_KEPT = Path(__file__).parent / "kept.py"
PYTHON = Interpreter(os.environ.get("CONCVIEW_LIBRARIES", sys.executable), (0, 0), 0, False)
POOLS = {
    "aiohttp": ("Pool", "BaseConnector.connect", "io"),
    "anyio": ("Limiter", "CapacityLimiter.acquire", "executor"),
    "asyncpg": ("Pool", "Pool.acquire", "sleep"),
    "httpx": ("Pool", "AsyncConnectionPool.request", "io"),
    "psycopg": ("Pool", "AsyncConnectionPool.getconn", "sleep"),
    "redis": ("Pool", "BlockingConnectionPool.get_connection", "io"),
    "sqlalchemy": ("Pool", "QueuePool.connect", "sleep"),
}


@pytest.mark.parametrize("library", POOLS)
def test_an_exhausted_pool_is_seen(library: str) -> None:
    kind, via, having = POOLS[library]
    with target(PYTHON, SOURCE, library, ready=None) as process:
        if process.line() == "missing":
            pytest.skip(f"NOT TESTED: {library} is not installed in {PYTHON.path}")
        assert process.line() == "ready"
        with watched(process.pid) as watch:
            told = watch.told
            watch.until(lambda: told.complete and sum(r.name.startswith("request-") for r in told.tasks.values()) == 5)
            rows = [row for row in told.tasks.values() if row.name.startswith("request-")]
            users, waiters = [r for r in rows if r.state != "pool"], [r for r in rows if r.state == "pool"]
            assert [r.state for r in users] == [having] * 2 and [r.wait.via for r in waiters] == [via] * 3
            assert len({r.wait.object for r in waiters}) == 1
            pool = told.objects[waiters[0].wait.object]
            assert (pool.kind, pool.library, pool.limit, pool.used, pool.waiting) == (kind, library, 2, 2, 3)
            assert set(pool.holders) == {r.id for r in users} and pool.exact
            if having == "io":
                assert all(r.wait.peer is not None and r.wait.peer.name.startswith("127.0.0.1:") for r in users)


@pytest.mark.parametrize("library", ("aiohttp", "redis"))
def test_who_keeps_a_connection_in_a_variable_is_found(library: str) -> None:
    source = SOURCE_OF_KEPT.read_text()
    with target(PYTHON, source, library, ready=None) as process:
        if process.line() == "missing":
            pytest.skip(f"NOT TESTED: {library} is not installed in {PYTHON.path}")
        with watched(process.pid) as watch:

            def holders() -> set[str]:
                told = watch.told
                waits = {r.wait.object for r in told.tasks.values() if r.name.startswith("request-") and r.wait.object}
                pools = [told.objects[o] for o in waits if o in told.objects]
                return {told.tasks[t].name for p in pools for t in p.holders if t in told.tasks and not p.exact}

            watch.until(lambda: holders() == {"keeper-0", "keeper-1"})

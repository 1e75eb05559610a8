"""Pools of connections of real libraries, all in use: two tasks have one each, three wait. `pools.py LIBRARY`

No service is needed: the peer is a server in the same program that accepts, answers what a library asks for at the
beginning, and then says nothing. Prints 'ready'; 'missing' where the library is not installed.
"""

import asyncio
import sys

LIBRARY = sys.argv[1]
LIMIT, WAITING = 2, 3


async def silent(reader, writer):
    while True:
        if not await reader.read(4096):
            return


async def redis_server(reader, writer):
    """Says yes to the greeting and to nothing else."""
    while True:
        data = await reader.read(4096)
        if not data:
            return
        if b"HELLO" in data:
            writer.write(b"%1\r\n+proto\r\n:3\r\n")
        elif b"CLIENT" in data:
            writer.write(b"+OK\r\n" * data.count(b"CLIENT"))


async def use_aiohttp(port):
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=LIMIT))

    async def request():
        async with session.get(f"http://127.0.0.1:{port}/"):
            pass

    return request


async def use_httpx(port):
    import httpx

    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=LIMIT), timeout=None)

    async def request():
        await client.get(f"http://127.0.0.1:{port}/")

    return request


async def use_redis(port):
    import redis.asyncio

    pool = redis.asyncio.BlockingConnectionPool(max_connections=LIMIT, host="127.0.0.1", port=port, timeout=None)
    client = redis.asyncio.Redis(connection_pool=pool)

    async def request():
        await client.get("key")

    return request


async def use_anyio(port):
    import time

    import anyio.to_thread

    limiter = anyio.CapacityLimiter(LIMIT)

    async def request():
        await anyio.to_thread.run_sync(time.sleep, 100_000, limiter=limiter)

    return request


async def use_sqlalchemy(port):
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import AsyncAdaptedQueuePool

    engine = create_async_engine(
        "sqlite+aiosqlite://",
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=LIMIT - 1,
        pool_timeout=100_000,
    )

    async def request():
        async with engine.connect() as connection:
            await connection.execute(text("select 1"))
            await asyncio.sleep(100_000)

    return request


async def use_psycopg(port):
    from psycopg_pool import AsyncConnectionPool

    class Connection:
        """What the pool asks of one; no server is needed to hold it."""

        pgconn = type("Pg", (), {"transaction_status": 0, "socket": 0})()
        _pool = None
        closed = False

        async def close(self):
            pass

        async def __aenter__(self):
            return self

        async def __aexit__(self, *error):
            pass

        @classmethod
        async def connect(cls, *arguments, **options):
            return cls()

    pool = AsyncConnectionPool("", connection_class=Connection, min_size=LIMIT, max_size=LIMIT, open=False)
    await pool.open()

    async def request():
        async with pool.connection(timeout=100_000):
            await asyncio.sleep(100_000)

    return request


async def use_asyncpg(port):
    import asyncpg
    import asyncpg.pool

    class Holder(asyncpg.pool.PoolConnectionHolder):
        async def connect(self):
            self._con = object()

        async def acquire(self):
            if self._con is None:
                await self.connect()
            self._in_use = asyncio.get_running_loop().create_future()
            return self

    asyncpg.pool.PoolConnectionHolder = Holder
    pool = asyncpg.create_pool(min_size=0, max_size=LIMIT)
    await pool

    async def request():
        async with pool.acquire():
            await asyncio.sleep(100_000)

    return request


async def main():
    server = await asyncio.start_server(redis_server if LIBRARY == "redis" else silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        request = await globals()[f"use_{LIBRARY}"](port)
    except ImportError:
        print("missing")
        print("ready", flush=True)
        return
    tasks = [asyncio.ensure_future(request()) for _ in range(LIMIT + WAITING)]
    for i, task in enumerate(tasks):
        task.set_name(f"request-{i}")
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in tasks), [t for t in tasks if t.done()]
    print(LIBRARY)
    print("ready", flush=True)
    await asyncio.sleep(100_000)


asyncio.run(main())

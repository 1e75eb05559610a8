"""Twenty requests share two connections.

A service keeps connections to its database in an asyncio.Queue: a request takes one out and puts it back.

bad:   the request keeps its connection while it renders the page, which waits for another service.
fixed: it gives the connection back before it renders.

Look at: the tasks that wait in `get`, and what those do that have a connection. No thread waits for anything.
"""

from __future__ import annotations

import asyncio

from _stage import database, perform  # type: ignore[import-not-found]

ID = "async-pool-exhausted"
GROUP = "Async and I/O"

REQUESTS, CONNECTIONS = 20, 2
RENDER = 0.1
ADDRESS = database(latency=0.002) if __name__ == "__main__" else ("", 0)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: int) -> bytes:
    writer.write(b"%d\n" % key)
    await writer.drain()
    return await reader.readline()


async def connections() -> asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    pool: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        pool.put_nowait(await asyncio.open_connection(*ADDRESS))
    return pool


async def render(row: bytes) -> None:
    await asyncio.sleep(RENDER)  # another service


async def bad() -> None:
    pool = await connections()

    async def request(key: int) -> None:
        while True:
            connection = await pool.get()
            try:
                await render(await ask(*connection, key))
            finally:
                pool.put_nowait(connection)

    await asyncio.gather(*(request(n) for n in range(REQUESTS)))


async def fixed() -> None:
    pool = await connections()

    async def request(key: int) -> None:
        await asyncio.sleep(key * RENDER / REQUESTS)  # requests do not come in step
        while True:
            connection = await pool.get()
            try:
                row = await ask(*connection, key)
            finally:
                pool.put_nowait(connection)
            await render(row)

    await asyncio.gather(*(request(n) for n in range(REQUESTS)))


if __name__ == "__main__":
    perform(bad, fixed)

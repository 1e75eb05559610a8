"""Forty requests, and a handful of threads to wait in.

Every request looks something up with a blocking client, in the loop's default executor: it has at most
CPUs + 4 threads.

bad:   forty requests at a time. All but a few wait for a thread before their look-up even begins.
fixed: an async client: a look-up needs no thread.

Look at: how many calls the executor runs, and how many are queued.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from _stage import database, perform  # type: ignore[import-not-found]

ID = "executor-exhausted"
GROUP = "Async and I/O"

REQUESTS = 40
ADDRESS = database(latency=0.2) if __name__ == "__main__" else ("", 0)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: int) -> bytes:
    writer.write(b"%d\n" % key)
    await writer.drain()
    return await reader.readline()


def look_up() -> bytes:
    with socket.create_connection(ADDRESS, timeout=10) as db:
        db.sendall(b"row\n")
        return db.recv(100)


async def bad() -> None:
    loop = asyncio.get_running_loop()
    # As on a machine with two CPUs, wherever this runs.
    loop.set_default_executor(ThreadPoolExecutor(6))

    async def request() -> None:
        while True:
            await loop.run_in_executor(None, look_up)

    await asyncio.gather(*(request() for _ in range(REQUESTS)))


async def fixed() -> None:
    async def request() -> None:
        while True:
            reader, writer = await asyncio.open_connection(*ADDRESS)
            await ask(reader, writer, 1)
            writer.close()

    await asyncio.gather(*(request() for _ in range(REQUESTS)))


if __name__ == "__main__":
    perform(bad, fixed)

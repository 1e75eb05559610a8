"""An asyncio program that does its blocking work in the default executor, and some of its own in small pieces."""

from __future__ import annotations

import asyncio
import socket

from _program import database, perform

ADDRESS = database(latency=0.1) if __name__ == "__main__" else ("", 0)


def query() -> bytes:
    with socket.create_connection(ADDRESS, timeout=10) as connection:
        connection.sendall(b"x\n")
        return connection.recv(100)


async def asker() -> None:
    while True:
        await asyncio.get_running_loop().run_in_executor(None, query)
        await asyncio.sleep(0.3)


async def ticker() -> None:
    while True:
        sum(range(10_000))
        await asyncio.sleep(0.02)


async def program() -> None:
    await asyncio.gather(*(asker() for _ in range(3)), ticker())


if __name__ == "__main__":
    perform(program)

"""A blocking call in a coroutine stops everybody.

A chat server on asyncio: a hundred users type, and every now and then one of them logs in, which asks the database.

bad:   the login uses a blocking socket. For two seconds the loop serves nobody: no message, no heartbeat.
fixed: the same blocking call in a worker thread; the loop goes on with everything else.

Look at: what the thread of the event loop waits for, and for how long.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Awaitable, Callable

from _stage import database, perform  # type: ignore[import-not-found]

ID = "blocked-event-loop"
GROUP = "Async and I/O"

USERS = 100
ADDRESS = database(latency=2.0) if __name__ == "__main__" else ("", 0)


def look_up(name: bytes) -> bytes:
    with socket.create_connection(ADDRESS, timeout=10) as db:
        db.sendall(name + b"\n")
        return db.recv(100)  # two seconds


async def login_bad(name: bytes) -> None:
    look_up(name)


async def login_fixed(name: bytes) -> None:
    await asyncio.get_running_loop().run_in_executor(None, look_up, name)


async def chat(login: Callable[[bytes], Awaitable[None]]) -> None:
    async def user() -> None:
        while True:
            await asyncio.sleep(0.5)  # type a message

    users = [asyncio.ensure_future(user()) for _ in range(USERS)]
    while users:
        await login(b"alice")
        await asyncio.sleep(0.5)


async def bad() -> None:
    await chat(login_bad)


async def fixed() -> None:
    await chat(login_fixed)


if __name__ == "__main__":
    perform(bad, fixed)

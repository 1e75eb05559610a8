"""Everybody waits for the one who fetches.

Sixteen handlers need a token, which is fetched from a slow service and kept for a moment.

bad:   the lock that guards the token is held while it is fetched; and it is fetched for everybody.
fixed: the lock is taken to look and to store; the one fetch is a task that all of them await.

Look at: who holds `self._lock`, and what that task waits for.
"""

from __future__ import annotations

import asyncio

from _stage import database, perform  # type: ignore[import-not-found]

ID = "async-lock-held-across-await"
GROUP = "Async and I/O"

HANDLERS = 16
ADDRESS = database(latency=0.1) if __name__ == "__main__" else ("", 0)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: int) -> bytes:
    writer.write(b"%d\n" % key)
    await writer.drain()
    return await reader.readline()


class Tokens:
    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._token = b""
        self._fetch: asyncio.Future[bytes] | None = None

    async def fetch(self) -> bytes:
        reader, writer = await asyncio.open_connection(*ADDRESS)
        try:
            return await ask(reader, writer, 1)
        finally:
            writer.close()

    async def get_bad(self) -> bytes:
        async with self._lock:
            self._token = await self.fetch()  # everybody waits for this
            return self._token

    async def get_fixed(self) -> bytes:
        async with self._lock:
            if self._fetch is None or self._fetch.done():
                self._fetch = asyncio.ensure_future(self.fetch())
            fetch = self._fetch
        return await fetch


async def bad() -> None:
    tokens = Tokens()

    async def handle() -> None:
        while True:
            await tokens.get_bad()

    await asyncio.gather(*(handle() for _ in range(HANDLERS)))


async def fixed() -> None:
    tokens = Tokens()

    async def handle() -> None:
        while True:
            await tokens.get_fixed()

    await asyncio.gather(*(handle() for _ in range(HANDLERS)))


if __name__ == "__main__":
    perform(bad, fixed)

"""Consumers die, and nobody knows.

Twenty consumers are started as tasks and kept in a set. They meet an item that they cannot read.

bad:   each ends with a ValueError that nobody asks for, as long as the set refers to it.
fixed: whoever started them waits for them, logs the error, and starts another.

Look at: the finding: which function failed, with what.
"""

from __future__ import annotations

import asyncio

from _stage import perform  # type: ignore[import-not-found]

ID = "never-retrieved-exception"
GROUP = "Async and I/O"
NEEDS_SECONDS = 10

PAUSE, CONSUMERS = 2.0, 20
consumers: set[asyncio.Future[None]] = set()


async def consume(number: int) -> None:
    await asyncio.sleep(PAUSE * (1 + number))  # the items before it
    int("item " + str(number))  # ValueError


async def serve() -> None:
    while True:
        await asyncio.sleep(0.05)


async def bad() -> None:
    for n in range(CONSUMERS):
        consumers.add(asyncio.ensure_future(consume(n)))
    await serve()


async def fixed() -> None:
    async def kept_alive(number: int) -> None:
        while True:
            try:
                await consume(number)
            except ValueError:
                await asyncio.sleep(PAUSE)

    await asyncio.gather(serve(), *(kept_alive(n) for n in range(CONSUMERS)))


if __name__ == "__main__":
    perform(bad, fixed)

"""A lock that a generator keeps when its user has left.

Four readers want one row each. The rows come from an asynchronous generator, which has the table's lock while it is
iterated; one row is enough, so the loop is left after the first.

bad:   nobody closes the generator, and the traceback of an earlier error (here: a list) still refers to it: the lock is
       never given back.
fixed: `aclose` is called where the loop is left.

Look at: who has the lock, and where that stands.
"""

from __future__ import annotations

import asyncio
from typing import Any, AsyncGenerator, List

from _stage import perform  # type: ignore[import-not-found]

ID = "abandoned-generator"
GROUP = "Async and I/O"

READERS = 4
PERIOD = 0.02

kept: List[Any] = []


async def rows(table: asyncio.Lock) -> AsyncGenerator[int, None]:
    async with table:
        for row in range(1000):
            await asyncio.sleep(PERIOD / 10)
            yield row


async def first_row(table: asyncio.Lock, close: bool) -> int:
    found = rows(table)
    try:
        async for row in found:
            return row
    finally:
        if close:
            await found.aclose()
        elif len(kept) < READERS:
            kept.append(found)
    return -1


async def reader(table: asyncio.Lock, close: bool) -> None:
    while True:
        await first_row(table, close)
        await asyncio.sleep(PERIOD)


async def perform_with(close: bool) -> None:
    table = asyncio.Lock()
    await asyncio.gather(*(reader(table, close) for _ in range(READERS)))


async def bad() -> None:
    await perform_with(close=False)


async def fixed() -> None:
    await perform_with(close=True)


if __name__ == "__main__":
    perform(bad, fixed)

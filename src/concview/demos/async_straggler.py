"""Nineteen answers wait for the twentieth.

Batches of twenty requests: nineteen shards answer in 20 ms, one takes 500 ms.

bad:   gather waits for all of them, then the next batch begins.
fixed: each shard has a worker of its own that goes on when it is done.

Look at: the task in `gather`: how long it waits for one task, and for which.
"""

from __future__ import annotations

import asyncio

from _stage import perform  # type: ignore[import-not-found]

ID = "async-straggler"
GROUP = "Async and I/O"
NEEDS_SECONDS = 8

SHARDS, QUICK, SLOW = 20, 0.02, 0.5


async def fetch(shard: int) -> int:
    await asyncio.sleep(SLOW if shard == 7 else QUICK)
    return shard


async def bad() -> None:
    while True:
        await asyncio.gather(*(fetch(n) for n in range(SHARDS)))


async def fixed() -> None:
    async def worker(shard: int) -> None:
        while True:
            await fetch(shard)

    await asyncio.gather(*(worker(n) for n in range(SHARDS)))


if __name__ == "__main__":
    perform(bad, fixed)

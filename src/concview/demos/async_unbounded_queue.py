"""More comes in than goes out.

An ingest puts two hundred events a second into an asyncio.Queue; a writer takes 20 ms for each.

bad:   the queue has no bound: it grows by some 150 events every second.
fixed: it has one: the ingest waits for room, as slow as the writer.

Look at: how many items the queue holds, and what goes in and out.
"""

from __future__ import annotations

import asyncio

from _stage import perform  # type: ignore[import-not-found]

ID = "async-unbounded-queue"
GROUP = "Async and I/O"
NEEDS_SECONDS = 12

PAUSE, WRITE = 0.005, 0.02


async def run(events: asyncio.Queue[int]) -> None:
    async def ingest() -> None:
        number = 0
        while True:
            await events.put(number)
            number += 1
            await asyncio.sleep(PAUSE)

    async def write() -> None:
        while True:
            await events.get()
            await asyncio.sleep(WRITE)

    await asyncio.gather(ingest(), write())


async def bad() -> None:
    await run(asyncio.Queue())


async def fixed() -> None:
    await run(asyncio.Queue(maxsize=50))


if __name__ == "__main__":
    perform(bad, fixed)

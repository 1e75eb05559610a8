"""Two hundred fetches, five permits.

A crawler with two hundred tasks; a semaphore lets five of them fetch at a time.

bad:   five permits, for a site that would take two hundred.
fixed: as many permits as the site can take.

Look at: who waits for `permits`, and what those inside do.
"""

from __future__ import annotations

import asyncio

from _stage import perform  # type: ignore[import-not-found]

ID = "async-semaphore-saturated"
GROUP = "Async and I/O"

TASKS, FETCH = 200, 0.1


async def crawl(permits: asyncio.Semaphore) -> None:
    async def worker() -> None:
        while True:
            async with permits:
                await asyncio.sleep(FETCH)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(worker() for _ in range(TASKS)))


async def bad() -> None:
    await crawl(asyncio.Semaphore(5))


async def fixed() -> None:
    await crawl(asyncio.Semaphore(TASKS))


if __name__ == "__main__":
    perform(bad, fixed)

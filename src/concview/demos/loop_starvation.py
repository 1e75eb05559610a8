"""One coroutine computes, slice after slice.

A service with fifty clients that expect a heartbeat every 100 ms, and one coroutine that crunches numbers.

bad:   it does so in slices of 40 ms, with `await asyncio.sleep(0)` between them: the others run in between, late.
fixed: in slices of a millisecond, with a pause of nine: the loop idles.

Look at: the loop's line in the overview: how long a callback that is due waits.
"""

from __future__ import annotations

import asyncio
import time

from _stage import perform  # type: ignore[import-not-found]

ID = "loop-starvation"
GROUP = "Async and I/O"

CLIENTS = 50
SLICE = 0.04


def crunch(seconds: float) -> int:
    end, value = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        value += 1
    return value


async def clients() -> None:
    async def heartbeat() -> None:
        while True:
            await asyncio.sleep(0.1)

    for _ in range(CLIENTS):
        kept.add(asyncio.ensure_future(heartbeat()))


kept: set[asyncio.Future[None]] = set()


async def bad() -> None:
    await clients()
    while True:
        crunch(SLICE)
        await asyncio.sleep(0)


async def fixed() -> None:
    await clients()
    while True:
        crunch(0.001)
        await asyncio.sleep(0.009)


if __name__ == "__main__":
    perform(bad, fixed)

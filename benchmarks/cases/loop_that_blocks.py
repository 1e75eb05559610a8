"""A task makes a blocking call of 300 ms in the loop's thread, again and again; five others are late."""

import asyncio
import time

EXPECT = "any by blocked-event-loop"


async def refresh() -> None:
    while True:
        time.sleep(0.3)
        await asyncio.sleep(0.2)


async def handle() -> None:
    while True:
        await asyncio.sleep(0.01)


async def main() -> None:
    print("ready", flush=True)
    await asyncio.gather(refresh(), *(handle() for _ in range(5)))


asyncio.run(main())

"""Twenty clients ask in every round of the loop whether the page has been rendered anew."""

import asyncio
import signal

EXPECT = "named async-busy-wait"
signal.alarm(600)


class Page:
    edition = 0


async def render():
    while True:
        await asyncio.sleep(0.5)
        Page.edition += 1


async def client():
    while True:
        seen = Page.edition
        while Page.edition == seen:
            await asyncio.sleep(0)


async def main():
    tasks = [asyncio.ensure_future(render()), *(asyncio.ensure_future(client()) for _ in range(20))]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


asyncio.run(main())

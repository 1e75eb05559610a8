"""Two tasks take two asyncio.Locks in opposite order, beside one that goes on."""

import asyncio

EXPECT = "stuck by async-deadlock"


async def moves(one: asyncio.Lock, other: asyncio.Lock) -> None:
    async with one:
        await asyncio.sleep(0.1)
        async with other:
            pass


async def main() -> None:
    left, right = asyncio.Lock(), asyncio.Lock()
    tasks = [asyncio.ensure_future(moves(left, right)), asyncio.ensure_future(moves(right, left))]
    await asyncio.sleep(0.5)
    print("ready", flush=True)
    while len(tasks) == 2:
        await asyncio.sleep(0.05)


asyncio.run(main())

"""A full asyncio.Queue whose consumer has died."""

import asyncio
import signal

EXPECT = "still or stuck"
signal.alarm(600)


async def producer(q, n):
    i = 0
    while True:
        await q.put((n, i))
        i += 1
        await asyncio.sleep(0)


async def consumer(q):
    while True:
        n, i = await q.get()
        if i == 50:
            raise RuntimeError("bad record")


async def main():
    q = asyncio.Queue(10)
    c = asyncio.create_task(consumer(q), name="consumer")
    ps = [asyncio.create_task(producer(q, n), name=f"producer-{n}") for n in range(3)]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*ps)


asyncio.run(main())

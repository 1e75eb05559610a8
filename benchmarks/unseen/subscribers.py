"""The queue of a subscriber that has ended is full."""

import asyncio
import signal
import threading

EXPECT = "stuck"
signal.alarm(600)
subs = {}


async def subscriber(name, n):
    q = subs[name] = asyncio.Queue(20)
    for _ in range(n):
        await q.get()


async def publish():
    i = 0
    while True:
        for q in list(subs.values()):
            await q.put(i)
        i += 1
        await asyncio.sleep(0.01)


async def main():
    a = asyncio.create_task(subscriber("a", 10**9), name="sub-a")
    b = asyncio.create_task(subscriber("b", 50), name="sub-b")
    await asyncio.sleep(0)
    await publish()


threading.Timer(1.5, print, ["ready"], {"flush": True}).start()
asyncio.run(main())

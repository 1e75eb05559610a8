"""A lock of its own in a store, which a worker that is gone has."""

import asyncio
import signal
import threading

EXPECT = "unexplained or still"
signal.alarm(600)


class FakeRedis:
    def __init__(self):
        self.d = {"job": "dead-worker-7"}

    async def set_nx(self, k, v):
        await asyncio.sleep(0)
        return self.d.setdefault(k, v) == v


class DistLock:
    def __init__(self, r, k):
        self.r, self.k = r, k

    async def __aenter__(self):
        while not await self.r.set_nx(self.k, id(self)):
            await asyncio.sleep(0.1)

    async def __aexit__(self, *a):
        self.r.d.pop(self.k)


async def job(r, i):
    async with DistLock(r, "job"):
        await asyncio.sleep(1)


async def main():
    r = FakeRedis()
    await asyncio.gather(*(job(r, i) for i in range(4)))


threading.Timer(1.5, print, ["ready"], {"flush": True}).start()
asyncio.run(main())

"""A lock that an asynchronous generator keeps: its user took one row and left."""

import asyncio
import signal
import threading

EXPECT = "named abandoned-generator"
signal.alarm(600)
db_lock = asyncio.Lock()


class Repo:
    def __init__(self):
        self.kept = []

    async def rows(self):
        async with db_lock:
            for i in range(1000):
                yield i

    async def first(self):
        it = self.rows()
        self.kept.append(it)
        async for row in it:
            return row


async def handler(repo, n):
    await asyncio.sleep(0.05 * n)
    async with db_lock:
        return n


async def heartbeat():
    while True:
        await asyncio.sleep(1)


async def main():
    repo = Repo()
    await repo.first()
    asyncio.create_task(heartbeat(), name="heartbeat")
    await asyncio.gather(*(handler(repo, n) for n in range(6)))


threading.Timer(1.5, print, ["ready"], {"flush": True}).start()
asyncio.run(main())

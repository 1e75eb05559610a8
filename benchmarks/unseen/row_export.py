"""A lock is had through an asynchronous generator, whose user is slow with each row."""

import asyncio
import signal
import threading

EXPECT = "named async-lock-held-across-await"
signal.alarm(600)


class Repo:
    def __init__(self):
        self.conn_lock = asyncio.Lock()

    async def rows(self):
        async with self.conn_lock:
            for i in range(1000):
                yield i

    async def one(self):
        async with self.conn_lock:
            await asyncio.sleep(0.001)


async def upload(row):
    await asyncio.sleep(3)


async def exporter(repo):
    async for row in repo.rows():
        await upload(row)


async def report(repo):
    while True:
        await repo.one()
        await asyncio.sleep(0.01)


async def main():
    repo = Repo()
    t = asyncio.create_task(exporter(repo), name="exporter")
    await asyncio.sleep(0.1)
    await asyncio.gather(t, *(report(repo) for _ in range(4)))


threading.Timer(1.5, print, ["ready"], {"flush": True}).start()
asyncio.run(main())

"""Connections of a pool by hand are kept in a table of sessions, until a logout that does not come."""

import asyncio
import collections
import signal

EXPECT = "stuck"
signal.alarm(600)


class Pool:
    def __init__(self, size):
        self.idle = collections.deque(object() for _ in range(size))
        self.permits = asyncio.Semaphore(size)

    async def acquire(self):
        await self.permits.acquire()
        return self.idle.popleft()

    def release(self, connection):
        self.idle.append(connection)
        self.permits.release()


sessions = {}


async def login(pool, user):
    sessions[user] = await pool.acquire()


async def tick():
    while True:
        await asyncio.sleep(0.5)


async def main():
    pool = Pool(3)
    tasks = [asyncio.ensure_future(tick()), *(asyncio.ensure_future(login(pool, user)) for user in range(9))]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


asyncio.run(main())

"""Resolvers wait for a batch of aiodataloader's, the batch for a lock that a migration keeps."""

import asyncio
import signal

from aiodataloader import DataLoader

EXPECT = "held up: lock or held up: result"
NEEDS = ("aiodataloader",)
signal.alarm(600)


async def main():
    lock = asyncio.Lock()

    class Users(DataLoader):
        async def batch_load_fn(self, keys):
            async with lock:
                return keys

    async def migrate():
        async with lock:
            await asyncio.sleep(1000)

    async def resolve(users, number):
        return await users.load(number)

    users = Users()
    tasks = [asyncio.ensure_future(migrate())]
    await asyncio.sleep(0.1)
    tasks += [asyncio.ensure_future(resolve(users, n)) for n in range(10)]
    await asyncio.sleep(0.5)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


asyncio.run(main())

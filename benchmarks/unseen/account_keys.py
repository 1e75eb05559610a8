"""Locks by key, taken and given back by a context manager that calls acquire() and release(): a ring of four transfers."""

import asyncio
import collections
import contextlib
import signal

EXPECT = "stuck by async-deadlock"
signal.alarm(600)


class Accounts:
    def __init__(self):
        self.locks = collections.defaultdict(asyncio.Lock)

    @contextlib.asynccontextmanager
    async def locked(self, key):
        lock = self.locks[key]
        await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    async def transfer(self, source, target):
        async with self.locked(source):
            await asyncio.sleep(0.05)
            async with self.locked(target):
                await asyncio.sleep(0.01)


async def move(accounts, source, target):
    while True:
        await accounts.transfer(source, target)


async def main():
    accounts = Accounts()
    moves = [asyncio.ensure_future(move(accounts, n, (n + 1) % 4)) for n in range(4)]
    moves.append(asyncio.ensure_future(move(accounts, "x", "y")))
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*moves)


asyncio.run(main())

"""Two reports have both connections of a pool whose get() and put() hide a queue; others try for two seconds each."""

import asyncio
import signal

EXPECT = "held up: resource"
signal.alarm(600)


class Pool:
    def __init__(self, size):
        self.queue = asyncio.Queue()
        for _ in range(size):
            self.queue.put_nowait(object())

    async def get(self, timeout):
        return await asyncio.wait_for(self.queue.get(), timeout)

    def put(self, connection):
        self.queue.put_nowait(connection)


async def report(pool):
    while True:
        connection = await pool.get(100)
        try:
            await asyncio.sleep(60)
        finally:
            pool.put(connection)


async def request(pool):
    while True:
        try:
            connection = await pool.get(2)
        except asyncio.TimeoutError:
            continue
        try:
            await asyncio.sleep(0.01)
        finally:
            pool.put(connection)


async def main():
    pool = Pool(2)
    tasks = [asyncio.ensure_future(report(pool)) for _ in range(2)]
    await asyncio.sleep(0.1)
    tasks += [asyncio.ensure_future(request(pool)) for _ in range(8)]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


asyncio.run(main())

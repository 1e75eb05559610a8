"""An asyncio.Lock held across a slow await."""

import asyncio
import signal

EXPECT = "named async-lock-held-across-await"
signal.alarm(600)


class Api:
    def __init__(self):
        self.lock = asyncio.Lock()

    async def call(self, n):
        async with self.lock:
            await asyncio.sleep(0.2)
            return n


async def main():
    a = Api()

    async def w(n):
        while True:
            await a.call(n)

    ts = [asyncio.create_task(w(n), name=f"caller-{n}") for n in range(10)]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*ts)


asyncio.run(main())

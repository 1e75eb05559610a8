"""One waits for the first item, the other for the sign that the first item was taken."""

import asyncio
import signal
import threading

EXPECT = "stuck"
signal.alarm(600)


class Link:
    def __init__(self):
        self.q = asyncio.Queue()
        self.ready = asyncio.Event()

    async def produce(self):
        await self.ready.wait()
        for i in range(100):
            await self.q.put(i)

    async def consume(self):
        first = await self.q.get()
        self.ready.set()
        while True:
            await self.q.get()


async def main():
    link = Link()
    await asyncio.gather(link.produce(), link.consume())


threading.Timer(1.5, print, ["ready"], {"flush": True}).start()
asyncio.run(main())

"""Parts of a job wait for an event that is set behind the task group which waits for the parts; beside it a ticker."""

import asyncio
import signal

EXPECT = "stuck"
signal.alarm(600)


class Job:
    def __init__(self):
        self.finished = asyncio.Event()
        self.parts = []

    async def part(self, number):
        await asyncio.sleep(0.1)
        self.parts.append(number)
        await self.finished.wait()

    async def run(self):
        await asyncio.gather(*(self.part(number) for number in range(5)))
        self.finished.set()


async def tick():
    while True:
        await asyncio.sleep(1)


async def main():
    job = asyncio.ensure_future(Job().run())
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(job, tick())


asyncio.run(main())

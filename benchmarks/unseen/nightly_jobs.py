"""Jobs of low priority lie in the queue for ever: the worker always has an urgent one."""

import asyncio
import itertools
import signal

EXPECT = "waits"
signal.alarm(600)


class Jobs:
    def __init__(self):
        self.waiting = asyncio.PriorityQueue()
        self.number = itertools.count()

    async def submit(self, priority, seconds):
        done = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait((priority, next(self.number), seconds, done))
        return await done

    async def work(self):
        while True:
            _, _, seconds, done = await self.waiting.get()
            await asyncio.sleep(seconds)
            done.set_result(seconds)


async def urgent(jobs):
    while True:
        await jobs.submit(0, 0.02)


async def main():
    jobs = Jobs()
    tasks = [asyncio.ensure_future(jobs.work())]
    tasks += [asyncio.ensure_future(urgent(jobs)) for _ in range(3)]
    tasks += [asyncio.ensure_future(jobs.submit(9, 0.5)) for _ in range(4)]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


asyncio.run(main())

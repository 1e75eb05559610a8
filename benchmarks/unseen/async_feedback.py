"""Workers that put into the full queue they read."""

import asyncio
import _go

EXPECT = "stuck"


async def crawl(q):
    while True:
        u = await q.get()
        for k in range(3):
            await q.put(u + (k,))
        q.task_done()


async def main():
    q = asyncio.Queue(8)
    await q.put(())
    ts = [asyncio.create_task(crawl(q), name="crawl-%d" % i) for i in range(4)]
    _go.ready()
    await q.join()


asyncio.run(main())

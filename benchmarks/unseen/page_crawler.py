"""Crawlers wait for pages; the task that put them into the queue has failed, and gather keeps its error to itself."""

import asyncio
import signal

EXPECT = "says can go on"
signal.alarm(600)


async def list_pages(pages):
    for number in range(50):
        await pages.put(number)
        if number == 5:
            raise RuntimeError("the site map is gone")


async def crawl(pages):
    while True:
        await pages.get()
        await asyncio.sleep(0.01)
        pages.task_done()


async def main():
    pages = asyncio.Queue(10)
    tasks = [asyncio.ensure_future(list_pages(pages)), *(asyncio.ensure_future(crawl(pages)) for _ in range(3))]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*tasks, return_exceptions=True)


asyncio.run(main())

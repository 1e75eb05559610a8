"""Everything that may be wrong with tasks at once: hostile names, a very deep chain, futures in a circle, tasks by the
hundred that are born and end, a loop that is closed again and again, and a task that fails and is kept."""

import asyncio
import sys
import threading

COUNT = int(sys.argv[1])
keep = []


async def deep(n):
    if n:
        await deep(n - 1)
    else:
        await asyncio.sleep(100_000)


async def short():
    await asyncio.sleep(0)


async def forever():
    await asyncio.sleep(100_000)


async def fails():
    await asyncio.sleep(1)
    raise LookupError("kept")


async def fail_on():
    while True:
        keep.append(asyncio.ensure_future(fails()))
        await asyncio.sleep(0.5)


class Odd:
    """Up to 3.12 a name is turned into a string when it is set."""

    def __str__(self):
        return "odd"


async def circle(future):
    await future


async def churn():
    while True:
        await asyncio.gather(*[asyncio.ensure_future(short()) for _ in range(50)])


def loops():
    while True:
        asyncio.run(short())


async def main():
    loop = asyncio.get_running_loop()
    for name in ("[bold]markup[/]", "\x1b[2Jescape\u202e", "x" * 5000, "\ud800", ""):
        task = loop.create_task(forever())
        task.set_name(name)
        keep.append(task)
    if sys.version_info < (3, 13):
        keep.append(loop.create_task(forever()))
        keep[-1].set_name(Odd())
    keep.append(loop.create_task(deep(700)))
    one, other = loop.create_future(), loop.create_future()
    one.other, other.other = other, one
    ring = asyncio.gather(one, other)
    ring._children.append(ring)
    keep.append(loop.create_task(circle(ring)))
    keep.append(loop.create_task(fail_on()))
    for _ in range(COUNT):
        keep.append(loop.create_task(forever()))
    await asyncio.sleep(0.2)
    threading.Thread(target=loops, daemon=True).start()
    print("ready", flush=True)
    await churn()


sys.setrecursionlimit(3000)
asyncio.run(main())

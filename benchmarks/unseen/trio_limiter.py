"""trio: a thread of a limiter of two calls back and wants the same limiter."""

import trio
import threading

import _go


NEEDS = ("trio",)
EXPECT = "stuck or named nested-executor-deadlock or named async-deadlock or still"
lim = trio.CapacityLimiter(2)


def inner():
    return 1


async def again():
    return await trio.to_thread.run_sync(inner, limiter=lim)


def outer():
    import time

    time.sleep(0.3)
    return trio.from_thread.run(again)


async def job(n):
    await trio.to_thread.run_sync(outer, limiter=lim)


async def main():
    _go.ready(3)
    async with trio.open_nursery() as n:
        for i in range(3):
            n.start_soon(job, i)


trio.run(main)

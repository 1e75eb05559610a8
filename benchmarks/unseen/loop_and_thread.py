"""A loop that waits for a thread that waits for the loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
import _go

EXPECT = "stuck"
ex = ThreadPoolExecutor(2, thread_name_prefix="legacy")


async def fetch():
    await asyncio.sleep(0.01)
    return 5


def legacy(loop):
    return asyncio.run_coroutine_threadsafe(fetch(), loop).result() + 1


async def main():
    loop = asyncio.get_running_loop()
    _go.ready()
    await asyncio.sleep(0.1)
    f = ex.submit(legacy, loop)
    print(f.result())


asyncio.run(main())

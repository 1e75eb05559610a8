"""Forty tasks hand a blocking call to an executor of four threads."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

EXPECT = "held up by executor-exhausted"


async def main() -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(4))

    async def handle() -> None:
        while True:
            await loop.run_in_executor(None, time.sleep, 0.2)

    print("ready", flush=True)
    await asyncio.gather(*(handle() for _ in range(40)))


asyncio.run(main())

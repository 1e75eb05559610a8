"""Tasks wait for a process pool with fewer workers than calls."""

import asyncio
import concurrent.futures
import signal
import threading
import time

EXPECT = "says worker"
signal.alarm(600)


def crunch(n):
    signal.alarm(60)  # it ends where its parent was killed, too
    time.sleep(300)


async def job(pool, n):
    return await asyncio.get_running_loop().run_in_executor(pool, crunch, n)


async def main():
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        await asyncio.gather(*(asyncio.create_task(job(pool, i), name=f"job-{i}") for i in range(6)))


if __name__ == "__main__":
    threading.Timer(1.5, print, ["ready"], {"flush": True}).start()
    asyncio.run(main())

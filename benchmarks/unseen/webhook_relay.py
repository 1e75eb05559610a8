"""asyncio.to_thread for 24 slow calls on the default executor."""

import asyncio
import signal
import time

EXPECT = "named executor-exhausted"
signal.alarm(600)


def slow_pdf(n):
    time.sleep(3)
    return n


async def pdf(n):
    while True:
        await asyncio.get_running_loop().run_in_executor(None, slow_pdf, n)


async def resolve():
    loop = asyncio.get_running_loop()
    while True:
        await loop.getaddrinfo("localhost", 80)
        await asyncio.sleep(0.05)


async def main():
    ts = [asyncio.create_task(pdf(i), name=f"pdf-{i}") for i in range(24)]
    ts += [asyncio.create_task(resolve(), name=f"resolve-{i}") for i in range(3)]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*ts)


asyncio.run(main())

"""Target of `tasks_cost.py`: TASKS tasks, all but ACTIVE asleep for long; those wake every 10 ms."""

import asyncio
import sys

TASKS, ACTIVE = int(sys.argv[1]), int(sys.argv[2])


async def inner(seconds):
    await asyncio.sleep(seconds)


async def middle(seconds):
    await inner(seconds)


async def idle():
    await middle(100_000)


async def busy():
    while True:
        await middle(0.01)


async def main():
    tasks = [asyncio.create_task(busy() if i < ACTIVE else idle()) for i in range(TASKS - 1)]
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


asyncio.run(main())

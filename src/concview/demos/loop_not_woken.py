"""A thread sets an event of asyncio's, and the loop does not wake up for it.

A thread has a result every 50 ms; a task waits for it, and has nothing else to do. A heartbeat is due every second.

bad:   the thread calls `event.set()`: the task is ready, and runs when the heartbeat wakes the loop.
fixed: it asks the loop to do so, by `call_soon_threadsafe`, which wakes it.

Look at: the loop's line in the overview: how long a callback that is due waits, while the loop's thread is idle.
"""

from __future__ import annotations

import asyncio
import threading
import time

from _stage import perform  # type: ignore[import-not-found]

ID = "loop-not-woken"
GROUP = "Async and I/O"

EVERY = 0.05
HEARTBEAT = 1.0


async def consume(event: asyncio.Event) -> None:
    while True:
        await event.wait()
        event.clear()


async def run(safe: bool) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()

    def produce() -> None:
        while True:
            time.sleep(EVERY)
            if safe:
                loop.call_soon_threadsafe(event.set)
            else:
                event.set()

    consumer = asyncio.ensure_future(consume(event))
    threading.Thread(target=produce, name="producer", daemon=True).start()
    while not consumer.done():
        await asyncio.sleep(HEARTBEAT)


async def bad() -> None:
    await run(safe=False)


async def fixed() -> None:
    await run(safe=True)


if __name__ == "__main__":
    perform(bad, fixed)

"""Workers that cannot be told to end.

Three workers poll something. After a second somebody has had enough of them, cancels them, and waits for their end.

bad:   they catch everything, the cancellation too, and go on: whoever waits for their end waits for ever.
fixed: they catch errors only, and end when they are told to; then the next three begin.

Look at: the tasks that go on, and the one that waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from _stage import perform  # type: ignore[import-not-found]

ID = "swallowed-cancellation"
GROUP = "Async and I/O"

WORKERS = 3
PERIOD = 0.05


async def poll() -> None:
    await asyncio.sleep(PERIOD)


lost = 0


async def stubborn() -> None:
    global lost
    while True:
        try:
            await poll()
        except BaseException:  # what this shows
            lost += 1


async def polite() -> None:
    global lost
    while True:
        try:
            await poll()
        except OSError:
            lost += 1


async def supervise(worker: Callable[[], Coroutine[None, None, None]]) -> None:
    while True:
        workers = [asyncio.ensure_future(worker()) for _ in range(WORKERS)]
        await asyncio.sleep(1)
        for one in workers:
            one.cancel()
        await asyncio.wait(workers)


async def bad() -> None:
    await supervise(stubborn)


async def fixed() -> None:
    await supervise(polite)


if __name__ == "__main__":
    perform(bad, fixed)

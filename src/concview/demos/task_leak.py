"""Every request starts a task that never ends.

Twenty-five requests a second; each starts a task that watches whether its client goes away.

bad:   nobody ends the watcher when the request is done. It waits for an event that will never be set.
fixed: the request cancels its watcher and waits for it.

Look at: the view Tasks: the tasks of one coroutine function become more and more, and none of them ends.
"""

from __future__ import annotations

import asyncio
from typing import Any, Coroutine

from _stage import perform  # type: ignore[import-not-found]

ID = "task-leak"
GROUP = "Async and I/O"
NEEDS_SECONDS = 18

PAUSE = 0.04
ENOUGH = 20_000  # tasks; then the demonstration stops growing

#: The loop itself refers to tasks only weakly.
watchers: set[asyncio.Future[None]] = set()
requests: set[asyncio.Future[None]] = set()


async def watch(gone: asyncio.Event) -> None:
    await gone.wait()


async def answer() -> None:
    await asyncio.sleep(0.01)


async def request_bad() -> None:
    watchers.add(asyncio.ensure_future(watch(asyncio.Event())))
    await answer()


async def request_fixed() -> None:
    watcher = asyncio.ensure_future(watch(asyncio.Event()))
    try:
        await answer()
    finally:
        watcher.cancel()
        await asyncio.wait([watcher])


def receive(request: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(request)
    requests.add(task)
    task.add_done_callback(requests.discard)


async def bad() -> None:
    while True:
        if len(watchers) < ENOUGH:
            receive(request_bad())
        await asyncio.sleep(PAUSE)


async def fixed() -> None:
    while True:
        receive(request_fixed())
        await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    perform(bad, fixed)

"""One thread for every request.

A hundred and twenty requests a second arrive, and each waits five seconds for a slow partner.

bad:   every request gets a thread. Little's law: 120/s x 5 s = 600 threads, each with its stack and its place in
       the scheduler, and nothing that says stop when the partner gets slower still.
fixed: every request is an asyncio task; all of them wait in one thread.

Look at: the number of threads over time, and the line that starts them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Callable

from _stage import perform  # type: ignore[import-not-found]

ID = "thread-explosion"
GROUP = "Work distribution"

REQUESTS_PER_SECOND = 120
SLOW_PARTNER = 5.0  # seconds


def handle() -> None:
    time.sleep(SLOW_PARTNER)


def bad() -> Callable[[], None]:
    threading.stack_size(256 * 1024)  # be kind to the machine that shows this

    def accept() -> None:
        number = 0
        while True:
            number += 1
            threading.Thread(target=handle, name=f"request-{number}", daemon=True).start()
            time.sleep(1 / REQUESTS_PER_SECOND)

    return accept


async def handle_async() -> None:
    await asyncio.sleep(SLOW_PARTNER)


async def fixed() -> None:
    requests = set()
    while True:
        request = asyncio.create_task(handle_async())
        requests.add(request)
        request.add_done_callback(requests.discard)
        await asyncio.sleep(1 / REQUESTS_PER_SECOND)


if __name__ == "__main__":
    perform(bad, fixed)

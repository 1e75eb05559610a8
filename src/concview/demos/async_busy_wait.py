"""Coroutines that ask whether a page has been rendered, in every round of the event loop.

Thirty clients wait for a page that is rendered every half second.

bad:   each of them looks at a flag, and lets the loop go round once with `await asyncio.sleep(0)`. The loop never
       idles, and a core is spent on a flag.
fixed: they wait for an event, which whoever renders the page sets.

Look at: the loop's line in the overview: callbacks a second, and the share of the time it is in them.
"""

from __future__ import annotations

import asyncio

from _stage import perform  # type: ignore[import-not-found]

ID = "async-busy-wait"
GROUP = "Async and I/O"

CLIENTS = 30
EVERY = 0.5

kept: set[asyncio.Future[None]] = set()


class Page:
    def __init__(self) -> None:
        self.edition = 0
        self.rendered = asyncio.Event()

    async def render(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self.edition += 1
            self.rendered.set()
            self.rendered.clear()


async def client_bad(page: Page) -> None:
    while True:
        seen = page.edition
        while page.edition == seen:
            await asyncio.sleep(0)


async def client_fixed(page: Page) -> None:
    while True:
        await page.rendered.wait()


async def bad() -> None:
    page = Page()
    for _ in range(CLIENTS):
        kept.add(asyncio.ensure_future(client_bad(page)))
    await page.render()


async def fixed() -> None:
    page = Page()
    for _ in range(CLIENTS):
        kept.add(asyncio.ensure_future(client_fixed(page)))
    await page.render()


if __name__ == "__main__":
    perform(bad, fixed)

"""A threading.Lock held across an await."""

import asyncio
import threading
import _go

EXPECT = "stuck"


class Store:
    def __init__(self):
        self._lock = threading.Lock()

    async def update(self, n):
        with self._lock:
            await asyncio.sleep(0.05)
            self.n = n


async def main():
    s = Store()
    _go.ready()
    await asyncio.sleep(0.5)
    await asyncio.gather(*(s.update(i) for i in range(3)))


asyncio.run(main())

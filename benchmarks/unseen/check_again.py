"""A callback looks whether something is done, and has itself called again at once."""

import asyncio
import signal

EXPECT = "named async-busy-wait"
signal.alarm(600)


class Upload:
    def __init__(self, loop):
        self.loop = loop
        self.sent = 0
        self.done = False

    def look(self):
        self.sent += 1
        if not self.done:
            self.loop.call_soon(self.look)


async def request():
    while True:
        await asyncio.sleep(0.01)


async def main():
    loop = asyncio.get_running_loop()
    Upload(loop).look()
    requests = [asyncio.ensure_future(request()) for _ in range(5)]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*requests)


asyncio.run(main())

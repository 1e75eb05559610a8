"""trio: calls in threads have all tokens of a limiter, call back into trio, and ask for another one there."""

import signal

import trio

EXPECT = "stuck"
NEEDS = ("trio",)
signal.alarm(600)


async def main():
    tokens = trio.CapacityLimiter(2)

    async def stamp():
        await trio.sleep(0.3)
        await trio.to_thread.run_sync(int, limiter=tokens)

    async def convert():
        await trio.to_thread.run_sync(lambda: trio.from_thread.run(stamp), limiter=tokens)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(convert)
        await trio.sleep(1)
        print("ready", flush=True)


trio.run(main)

"""A poller catches everything, the cancellation by its group too; whoever waits for the group waits for ever."""

import asyncio
import signal

EXPECT = "named swallowed-cancellation"
signal.alarm(600)


async def poll():
    while True:
        try:
            await asyncio.sleep(0.2)
        except BaseException:
            print("poll failed", flush=True)


async def deploy():
    await asyncio.sleep(0.5)
    raise RuntimeError("no image")


async def main():
    poller, deployment = asyncio.ensure_future(poll()), asyncio.ensure_future(deploy())
    await asyncio.wait([poller, deployment], return_when=asyncio.FIRST_EXCEPTION)
    poller.cancel()
    print("ready", flush=True)
    await asyncio.wait([poller])


asyncio.run(main())

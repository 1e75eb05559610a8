"""A worker thread sets an asyncio.Event when its result is there; the loop sleeps on."""

import asyncio
import signal
import threading
import time

EXPECT = "named loop-not-woken"
signal.alarm(600)


async def main():
    done = asyncio.Event()

    def compute():
        time.sleep(1)
        done.set()
        print("ready", flush=True)
        time.sleep(1000)

    threading.Thread(target=compute, name="compute", daemon=True).start()
    await done.wait()


asyncio.run(main())

"""run_coroutine_threadsafe(...).result() on the loop itself."""

import asyncio
import signal
import threading
import time

EXPECT = "stuck"
signal.alarm(600)
loop = asyncio.new_event_loop()


async def fetch_user(i):
    await asyncio.sleep(0.1)
    return i


def get_user(i):
    return asyncio.run_coroutine_threadsafe(fetch_user(i), loop).result()


async def on_message():
    await asyncio.sleep(0.5)
    return get_user(7)


def tell():
    time.sleep(2)
    print("ready", flush=True)
    time.sleep(100)


threading.Thread(target=tell, daemon=True).start()
loop.run_until_complete(on_message())

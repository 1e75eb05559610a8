"""An export reads under a readers' and writers' lock while its peer says nothing; a writer and new readers wait."""

import asyncio
import signal

import aiorwlock

EXPECT = "held up: lock"
NEEDS = ("aiorwlock",)
signal.alarm(600)


async def silent(reader, writer):
    await asyncio.sleep(1000)


async def export(lock, port):
    async with lock.reader_lock:
        reader, _ = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()


async def refresh(lock):
    async with lock.writer_lock:
        pass


async def page(lock):
    async with lock.reader_lock:
        pass


async def main():
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    lock = aiorwlock.RWLock()
    tasks = [asyncio.ensure_future(export(lock, server.sockets[0].getsockname()[1]))]
    await asyncio.sleep(0.3)
    tasks += [asyncio.ensure_future(refresh(lock))]
    await asyncio.sleep(0.1)
    tasks += [asyncio.ensure_future(page(lock)) for _ in range(8)]
    await asyncio.sleep(0.5)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


asyncio.run(main())

"""Handlers of a pool that one method lends out of and another one gives back to ask for a second connection."""

import asyncio
import collections
import signal

EXPECT = "stuck"
signal.alarm(600)


class Connections:
    def __init__(self, most):
        self.permits = asyncio.Semaphore(most)
        self.unused = collections.deque(range(most))

    async def lend(self):
        await self.permits.acquire()
        return self.unused.popleft()

    def take_back(self, connection):
        self.unused.append(connection)
        self.permits.release()


async def write_log(connections):
    connection = await connections.lend()
    try:
        await asyncio.sleep(0.01)
    finally:
        connections.take_back(connection)


async def handle(connections):
    while True:
        connection = await connections.lend()
        try:
            await asyncio.sleep(0.02)
            await write_log(connections)
        finally:
            connections.take_back(connection)


async def tick():
    while True:
        await asyncio.sleep(0.5)


async def main():
    connections = Connections(3)
    handlers = [asyncio.ensure_future(handle(connections)) for _ in range(6)]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(tick(), *handlers)


asyncio.run(main())

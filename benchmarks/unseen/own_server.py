"""Clients of a server in the same process, whose handlers wait for each other's lock."""

import asyncio
import signal

EXPECT = "named async-lock-held-across-await"
signal.alarm(600)


class Rates:
    def __init__(self):
        self.lock = asyncio.Lock()

    async def serve(self, reader, writer):
        while await reader.readline():
            async with self.lock:
                await asyncio.sleep(0.2)
            writer.write(b"1.08\n")
            await writer.drain()


async def ask(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(b"EUR\n")
        await reader.readline()


async def main():
    server = await asyncio.start_server(Rates().serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clients = [asyncio.ensure_future(ask(port)) for _ in range(6)]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*clients)


asyncio.run(main())

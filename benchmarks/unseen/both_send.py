"""Both ends of a connection send much, and read afterwards."""

import asyncio
import signal

EXPECT = "says they wait for each other"
signal.alarm(600)
MANY = 50_000_000


async def exchange(reader, writer):
    writer.write(b"." * MANY)
    await writer.drain()
    await reader.readexactly(MANY)


async def main():
    server = await asyncio.start_server(exchange, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    asyncio.get_running_loop().call_later(0.5, lambda: print("ready", flush=True))
    await exchange(reader, writer)


asyncio.run(main())

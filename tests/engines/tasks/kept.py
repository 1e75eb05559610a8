"""Connections kept in variables, of a pool of two, by tasks `keeper-N`; three `request-N` wait for one.

`kept.py aiohttp|redis`; prints 'missing' or 'ready'."""

import asyncio
import sys

LIBRARY = sys.argv[1]
FOREVER = 100_000


async def server(reader, writer):
    """Greets redis, answers HTTP, and leaves the body out."""
    while data := await reader.read(4096):
        if b"HELLO" in data:
            writer.write(b"%1\r\n+proto\r\n:3\r\n")
        elif b"HTTP" in data:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        writer.write(b"+OK\r\n" * data.count(b"CLIENT"))


class Keeper:
    def __init__(self):
        self.connection = None

    async def run(self, queue):
        await queue.get()


async def with_aiohttp(port):
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2))

    async def keep():
        return await session.get(f"http://127.0.0.1:{port}/")

    async def request():
        async with session.get(f"http://127.0.0.1:{port}/"):
            pass

    return keep, request


async def with_redis(port):
    import redis.asyncio

    pool = redis.asyncio.BlockingConnectionPool(max_connections=2, host="127.0.0.1", port=port, timeout=None)
    client = redis.asyncio.Redis(connection_pool=pool)

    async def keep():
        listener = client.pubsub()
        await listener.connect()
        return listener

    async def request():
        await client.get("key")

    return keep, request


async def keeper(keep, queue):
    one = Keeper()
    one.connection = await keep()
    await one.run(queue)


async def main():
    port = (await asyncio.start_server(server, "127.0.0.1", 0)).sockets[0].getsockname()[1]
    try:
        keep, request = await {"aiohttp": with_aiohttp, "redis": with_redis}[LIBRARY](port)
    except ImportError:
        print("missing", flush=True)
        return
    tasks = [asyncio.create_task(keeper(keep, asyncio.Queue()), name=f"keeper-{i}") for i in range(2)]
    await asyncio.sleep(0.3)
    tasks += [asyncio.create_task(request(), name=f"request-{i}") for i in range(3)]
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await asyncio.sleep(FOREVER)


asyncio.run(main())

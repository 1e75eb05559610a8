"""Twelve tasks of asyncio share a lock that is held across a wait for somebody else."""

import asyncio

EXPECT = "held up: lock"


class Tokens:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    async def fresh(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self.lock:
            writer.write(b"?\n")
            await reader.readline()


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readline():
        await asyncio.sleep(0.2)
        writer.write(b"!\n")


async def main() -> None:
    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    tokens = Tokens()

    async def handle() -> None:
        while True:
            await tokens.fresh(reader, writer)

    print("ready", flush=True)
    await asyncio.gather(*(handle() for _ in range(12)))


asyncio.run(main())

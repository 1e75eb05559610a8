"""A client of a line protocol keeps a future for each request; the task that reads the answers has failed at one."""

import asyncio
import signal

EXPECT = "stuck"
signal.alarm(600)


class Client:
    def __init__(self):
        self.pending = {}
        self.number = 0

    async def connect(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.listener = asyncio.ensure_future(self.listen())

    async def listen(self):
        while True:
            number, value = (await self.reader.readline()).split()
            self.pending.pop(int(number)).set_result(value)

    async def request(self):
        self.number += 1
        future = self.pending[self.number] = asyncio.get_running_loop().create_future()
        self.writer.write(b"%d\n" % self.number)
        return await future


async def answer(reader, writer):
    count = 0
    while True:
        line = await reader.readline()
        if not line:
            return
        count += 1
        writer.write(b"busy\n" if count == 5 else line.strip() + b" ok\n")


async def use(client):
    while True:
        await client.request()
        await asyncio.sleep(0.01)


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    client = Client()
    await client.connect(server.sockets[0].getsockname()[1])
    users = [asyncio.ensure_future(use(client)) for _ in range(10)]
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.gather(*users)


asyncio.run(main())

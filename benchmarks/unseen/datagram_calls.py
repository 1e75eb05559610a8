"""Calls by UDP whose server never answers: futures in a table of the protocol's."""

import asyncio
import signal
import socket

EXPECT = "says wait for udp"
signal.alarm(600)


class Calls(asyncio.DatagramProtocol):
    def __init__(self):
        self.pending = {}

    def connection_made(self, transport):
        self.wire = transport

    def datagram_received(self, data, address):
        future = self.pending.pop(data[:4], None)
        if future is not None and not future.done():
            future.set_result(data[4:])

    async def call(self, number):
        key = number.to_bytes(4, "big")
        future = self.pending[key] = asyncio.get_running_loop().create_future()
        self.wire.sendto(key + b"ask")
        return await future


async def main():
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    loop = asyncio.get_running_loop()
    _, calls = await loop.create_datagram_endpoint(Calls, remote_addr=silent.getsockname())
    print("ready", flush=True)
    await asyncio.gather(*(calls.call(number) for number in range(8)))


asyncio.run(main())

"""An asyncio echo server with twenty clients, each sending five messages a second."""

from __future__ import annotations

import asyncio

from _program import client, perform

CLIENTS = """
import socket
def talk():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        while True:
            connection.sendall(b"hello\\n")
            connection.recv(100)
            time.sleep(0.2)
for _ in range(20):
    threading.Thread(target=talk, daemon=True).start()
    time.sleep(0.01)
time.sleep(10**6)
"""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        line = await reader.readline()
        if not line:
            break
        writer.write(line)
        await writer.drain()
    writer.close()


async def program() -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    client(CLIENTS, server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


if __name__ == "__main__":
    perform(program)

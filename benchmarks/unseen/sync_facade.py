"""Threads run one event loop in turn, under a lock, and the server does not answer."""

import asyncio
import signal
import socket
import threading

EXPECT = "held up: lock"
signal.alarm(600)
loop, guard = asyncio.new_event_loop(), threading.RLock()
silent = socket.create_server(("127.0.0.1", 0))


async def fetch(number):
    reader, writer = await asyncio.open_connection(*silent.getsockname())
    writer.write(b"get %d\n" % number)
    return await reader.readline()


def call(number):
    with guard:
        return loop.run_until_complete(fetch(number))


threads = [threading.Thread(target=call, args=(i,), name=f"facade-{i}") for i in range(6)]
for thread in threads:
    thread.start()
print("ready", flush=True)
for thread in threads:
    thread.join()

"""A thread waits for an Event that a task sets, once its upstream has answered."""

import asyncio
import signal
import threading

EXPECT = "any: signal"
signal.alarm(600)


class Job:
    def __init__(self):
        self.done = threading.Event()
        self.result = None


def importer(jobs):
    for job in jobs:
        job.done.wait()


async def finish(job, port):
    r, w = await asyncio.open_connection("127.0.0.1", port)
    job.result = await r.read(10)
    job.done.set()


async def main():
    srv = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    job = Job()
    t = threading.Thread(target=importer, args=([job],), name="importer")
    t.start()
    await finish(job, srv.sockets[0].getsockname()[1])


threading.Timer(1.5, print, ["ready"], {"flush": True}).start()
asyncio.run(main())

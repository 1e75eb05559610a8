"""A program whose tasks keep a diary: the seconds in each state, measured around each await. `diary.py [uvloop]`

Prints 'ready'; answers each line on standard input with a line of JSON: its clock, {task: {state: seconds so far}}.
"""

import asyncio
import json
import random
import sys
import threading
import time

clock = time.monotonic
diary, now = {}, {}
chance = random.Random(1)


class doing:  # noqa: N801 - reads as what it is
    """The current task is in this state until the block ends."""

    def __init__(self, state):
        self.state = state

    def __enter__(self):
        self.task = asyncio.current_task().get_name()
        self.began = clock()
        now[self.task] = (self.state, self.began)

    def __exit__(self, *error):
        mine = diary.setdefault(self.task, {})
        mine[self.state] = mine.get(self.state, 0) + clock() - self.began
        now.pop(self.task, None)


async def locker(lock, n):
    while True:
        with doing("lock"):
            await lock.acquire()
        try:
            with doing("sleep"):
                await asyncio.sleep(0.03 + 0.01 * n)
        finally:
            lock.release()
        with doing("sleep"):
            await asyncio.sleep(0.02)


async def producer(queue):
    while True:
        with doing("sleep"):
            await asyncio.sleep(chance.uniform(0.01, 0.09))
        with doing("queue"):
            await queue.put(1)


async def consumer(queue):
    while True:
        with doing("queue"):
            await queue.get()
        with doing("sleep"):
            await asyncio.sleep(chance.uniform(0.02, 0.12))


async def semaphored(semaphore):
    while True:
        with doing("lock"):
            await semaphore.acquire()
        try:
            with doing("sleep"):
                await asyncio.sleep(chance.uniform(0.02, 0.06))
        finally:
            semaphore.release()


async def caller(n):
    loop = asyncio.get_running_loop()
    while True:
        with doing("executor"):
            await loop.run_in_executor(None, time.sleep, 0.05 + 0.01 * n)
        with doing("sleep"):
            await asyncio.sleep(0.03)


async def talker(port, milliseconds):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(b"%d\n" % milliseconds)
        with doing("io"):
            await reader.readline()
        with doing("sleep"):
            await asyncio.sleep(0.04)


async def child(seconds):
    await asyncio.sleep(seconds)


async def gatherer():
    while True:
        with doing("task"):
            await asyncio.gather(*[asyncio.ensure_future(child(0.02 * i)) for i in range(3)])
        with doing("task"):
            await asyncio.ensure_future(child(0.05))
        with doing("sleep"):
            await asyncio.sleep(0.01)


async def computer():
    while True:
        with doing("running"):
            end = clock() + 0.01
            while clock() < end:
                pass
        with doing("sleep"):
            await asyncio.sleep(0.05)


async def serve(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            return
        await asyncio.sleep(int(line) / 1e3)
        writer.write(b"ok\n")


def answer():
    t = clock()
    page = {}
    for name in set(diary) | set(now):
        page[name] = dict(diary.get(name, {}))
        if name in now:
            state, began = now[name]
            page[name][state] = page[name].get(state, 0) + t - began
    print(json.dumps([t, page]), flush=True)


async def main():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    lock, queue, semaphore = asyncio.Lock(), asyncio.Queue(3), asyncio.Semaphore(2)
    jobs = [locker(lock, i) for i in range(4)] + [producer(queue) for _ in range(4)]
    jobs += [consumer(queue) for _ in range(5)] + [semaphored(semaphore) for _ in range(6)]
    jobs += [caller(i) for i in range(6)] + [talker(port, 20 + 10 * i) for i in range(5)] + [gatherer(), computer()]
    for i, job in enumerate(jobs):
        loop.create_task(job).set_name(f"{job.__name__}-{i}")

    def listen():
        for _ in sys.stdin:
            loop.call_soon_threadsafe(answer)

    threading.Thread(target=listen, daemon=True).start()
    print("ready", flush=True)
    await asyncio.sleep(100_000)


if len(sys.argv) > 1:
    import uvloop

    uvloop.install()
asyncio.run(main())

"""Tasks that wait for futures made by hand; a task's name says who will set it: KIND|WHO|what it is.

KIND: task (WHO: the task's name), executor (WHO: the thread's), lock (WHO: who is inside), sleep (a timer), unknown
(WHO: a task that has ended, and how).
"""

import asyncio
import collections
import functools
import queue
import threading
import time

FOREVER = 100_000
keep = []


def start(coroutine, name):
    task = asyncio.get_running_loop().create_task(coroutine)
    task.set_name(name)
    keep.append(task)
    return task


class Client:
    """Answers come in any order: a task reads them, and sets the future of each."""

    def __init__(self):
        self._pending = {}
        self._next = 0

    async def ask(self):
        self._next += 1
        future = self._pending[self._next] = asyncio.get_running_loop().create_future()
        return await future

    async def read(self):
        while True:
            await asyncio.sleep(FOREVER)
            self._pending.popitem()[1].set_result(None)


class Calls:
    """A thread takes (future, function) out of a queue."""

    def __init__(self, tasks):
        self._calls = tasks
        threading.Thread(target=work, args=(self._calls,), name="worker", daemon=True).start()

    async def call(self, function):
        future = asyncio.get_running_loop().create_future()
        self._calls.put_nowait((future, function))
        return await future


def work(tasks):
    while True:
        future, function = tasks.get()
        result = function()
        future.get_loop().call_soon_threadsafe(future.set_result, result)


class Gate:
    """One at a time, as a library might write it."""

    def __init__(self):
        self._taken = False
        self._queue = collections.deque()

    async def __aenter__(self):
        if self._taken:
            future = asyncio.get_running_loop().create_future()
            self._queue.append(future)
            await future
        self._taken = True

    async def __aexit__(self, *_):
        self._taken = False


class Side:
    def __init__(self, gate):
        self._gate = gate

    async def __aenter__(self):
        await self._gate.__aenter__()

    async def __aexit__(self, *_):
        await self._gate.__aexit__()


class Bucket:
    """The next one is let in by a timer."""

    def __init__(self):
        self._waiting = []

    async def acquire(self):
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((1, future))
        asyncio.get_running_loop().call_later(FOREVER, self._wake)
        await future

    def _wake(self):
        self._waiting.pop()[1].set_result(None)


class Left(Client):
    """Its reader fails."""

    def __init__(self):
        super().__init__()
        self.reader = start(self.read(), "dead reader")

    async def read(self):
        raise LookupError("gone")


async def batch(waiting):
    await asyncio.sleep(FOREVER)
    for future in waiting:
        future.set_result(None)


async def pause():
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(FOREVER, future.set_result, None)
    await future


async def inside(gate):
    async with gate:
        await asyncio.sleep(FOREVER)


async def enter(gate):
    async with gate:
        pass


async def plain(future):
    await future


async def inside_and_asks(client):
    """It has entered what it asks: nobody waits for that."""
    async with client:
        await client.ask()


class Status:
    """As anyio tells by one that a task has started."""

    def __init__(self, future):
        self._future = future

    def started(self):
        self._future.set_result(None)


async def begins(status):
    await asyncio.sleep(FOREVER)
    status.started()


class Jobs:
    """The most urgent one first; the others lie in the queue, their futures with them."""

    def __init__(self):
        self._jobs = asyncio.PriorityQueue()
        self._number = 0

    async def submit(self, priority):
        future = asyncio.get_running_loop().create_future()
        self._number += 1
        self._jobs.put_nowait((priority, self._number, future))
        return await future

    async def work(self):
        while True:
            _, _, future = await self._jobs.get()
            await asyncio.sleep(FOREVER)
            future.set_result(None)


async def answer(questions):
    """Takes several at once; their futures are in a list of its own by then."""
    batch = [await questions.get()]
    await asyncio.sleep(FOREVER)
    for _, future in batch:
        future.set_result(None)


async def ask(questions, number):
    """A function, no method: what it was given first is what it belongs to."""
    future = asyncio.get_running_loop().create_future()
    await questions.put((number, future))
    return await future


class Wrapped:
    """What wraps what has a callback that sets the future."""

    def __init__(self, connection):
        self._delegate = connection


class Connection:
    def __init__(self, callback):
        self.final_callback = callback


class Fetcher:
    """Gives a future at once, which a callback sets that only its connection has; or that lies in a queue."""

    def __init__(self):
        self.queue = collections.deque()

    def fetch(self):
        future = asyncio.get_running_loop().create_future()

        def answered(response):
            future.set_result(response)

        start(self.read(Wrapped(Connection(answered))), "fetching")
        return future

    def later(self):
        future = asyncio.get_running_loop().create_future()

        def answered(response):
            future.set_result(response)

        self.queue.append((object(), functools.partial(answered, 1)))
        asyncio.get_running_loop().call_later(FOREVER, self.on_timeout)
        return future

    def on_timeout(self):
        """A time limit: it does not bring what is waited for."""

    async def read(self, delegate):
        await asyncio.sleep(FOREVER)
        delegate.final_callback(None)


async def fetch(client):
    await client.fetch()


async def fetch_later(client):
    await client.later()


async def connect(connected):
    await asyncio.sleep(FOREVER)
    connected.set_result(None)


async def publish(connected):
    await asyncio.shield(connected)


class Entered(Client):
    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


async def main():
    loop = asyncio.get_running_loop()
    client, gate, other = Client(), Gate(), Gate()
    start(client.read(), "reader")
    for _ in range(3):
        start(client.ask(), "task|reader|answers")
    calls = Calls(queue.SimpleQueue())
    for _ in range(3):
        start(calls.call(lambda: time.sleep(FOREVER)), "executor|worker|calls")
    start(inside(gate), "insider")
    start(inside(Side(other)), "other insider")
    futures = [loop.create_future() for _ in range(3)]
    start(batch(list(futures)), "batch")
    while futures:
        start(plain(futures.pop()), "task|batch|batched")
    start(Left().ask(), "unknown|dead reader: failed with LookupError|left alone")
    await asyncio.sleep(0.2)
    start(enter(gate), "lock|insider|gate")
    start(enter(Side(other)), "lock|other insider|side")
    bucket = Bucket()
    start(bucket.acquire(), "sleep||bucket")
    start(pause(), "sleep||pause")
    start(plain(loop.create_future()), "unknown||nobody")
    begun = loop.create_future()
    start(begins(Status(begun)), "beginner")
    start(plain(begun), "task|beginner|part of an object")
    del begun
    jobs = Jobs()
    start(jobs.work(), "job worker")
    for priority in range(3):
        start(jobs.submit(priority), "task|job worker|queued")
    questions = asyncio.Queue()
    start(answer(questions), "answerer")
    for number in range(3):
        start(ask(questions, number), "task|answerer|asked of a function")
    del questions
    client = Fetcher()
    start(fetch(client), "task|fetching|by a callback")
    start(fetch_later(client), "task|fetching|in a client's queue, with a time limit")
    connected = loop.create_future()
    start(connect(connected), "connecting")
    for _ in range(3):
        start(publish(connected), "task|connecting|shielded")
    del client, connected
    entered = Entered()
    start(inside_and_asks(entered), "unknown||asks what it is in")
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await asyncio.sleep(FOREVER)


asyncio.run(main())

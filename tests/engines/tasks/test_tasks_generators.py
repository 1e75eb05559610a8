"""Who has what an asynchronous generator took: tasks' names say it, and so must the stream."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import Told, Watch, watched

from capacity import WAITS
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

SOURCE = """
import asyncio, contextlib, signal

kept = []

async def rows(lock):
    async with lock:
        for row in range(1000):
            yield row

async def wrapped(lock):
    async for row in rows(lock):
        yield row

class Stream:
    def __init__(self, inner):
        self.inner = inner
    def __aiter__(self):
        return self
    async def __anext__(self):
        return await self.inner.__anext__()

class Response:
    def __init__(self, body):
        self.body = body
    async def send(self):
        async for row in self.body:
            await asyncio.sleep(100_000)

async def iterates(lock):
    async for row in rows(lock):
        await asyncio.sleep(100_000)

async def iterates_one_that_iterates(lock):
    async for row in wrapped(lock):
        await asyncio.sleep(100_000)

async def iterates_a_stream(lock):
    async for row in Stream(rows(lock)):
        await asyncio.sleep(100_000)

async def iterates_an_attribute(lock):
    await Response(rows(lock)).send()

async def waits_inside(lock):
    async def slow():
        async with lock:
            await asyncio.sleep(100_000)
            yield 1
    async for row in slow():
        pass

@contextlib.asynccontextmanager
async def lent(lock):
    async with lock:
        yield

async def has_one_as_a_manager(lock):
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(lent(lock))
        await asyncio.sleep(100_000)

async def rows_by_calls(lock):
    await lock.acquire()
    try:
        for row in range(1000):
            yield row
    finally:
        lock.release()

async def iterates_one_that_calls(lock):
    async for row in rows_by_calls(lock):
        await asyncio.sleep(100_000)

@contextlib.asynccontextmanager
async def lent_by_calls(lock):
    await lock.acquire()
    try:
        yield
    finally:
        lock.release()

async def has_a_manager_that_calls(lock):
    async with lent_by_calls(lock):
        await asyncio.sleep(100_000)

class Pool:
    def __init__(self):
        self.free = asyncio.Queue()
        self.free.put_nowait(object())

    @contextlib.asynccontextmanager
    async def one(self):
        taken = await self.free.get()
        try:
            yield taken
        finally:
            self.free.put_nowait(taken)

async def has_one_of_a_pool(pool):
    async with pool.one():
        await asyncio.sleep(100_000)

class Lender:
    def __init__(self):
        self.free = asyncio.Queue()
        self.free.put_nowait(object())

    async def lend(self):
        return await self.free.get()

    def put(self, one):
        self.free.put_nowait(one)

    async def get(self):
        return await self.lend()

async def has_one_of_a_lender(lender):
    one = await lender.get()
    try:
        await asyncio.sleep(100_000)
    finally:
        lender.put(one)

async def waits_at_the_lender(lender):
    await lender.get()

async def waits_at_the_pool(pool):
    async with pool.one():
        pass

class Group:
    def __init__(self):
        self.closed_at_the_end = []

async def has_one_in_a_group(lock):
    group, found = Group(), rows(lock)
    group.closed_at_the_end.append((Group, found))
    await found.__anext__()
    del found
    await asyncio.sleep(100_000)

async def has_many_variables(lock):
    VARIABLES = range(40)
    async for row in rows(lock):
        await asyncio.sleep(100_000)

async def leaves(lock):
    found = rows(lock)
    kept.append(found)
    async for row in found:
        break
    del found
    await asyncio.sleep(100_000)

async def waits(lock):
    async with lock:
        pass

def task(coroutine, name):
    made = asyncio.get_running_loop().create_task(coroutine)
    made.set_name(name)
    return made

async def main():
    users = (iterates, iterates_one_that_iterates, iterates_a_stream, iterates_an_attribute, waits_inside,
             has_one_as_a_manager, has_one_in_a_group, has_many_variables, leaves, iterates_one_that_calls,
             has_a_manager_that_calls)
    tasks = []
    for function in users:
        lock = asyncio.Semaphore(1) if function is has_one_as_a_manager else asyncio.Lock()
        tasks.append(task(function(lock), function.__name__))
        for _ in range(5):
            await asyncio.sleep(0)
        assert lock.locked()
        holder = "rows" if function is leaves else function.__name__
        tasks.append(task(waits(lock), "lock|" + holder))
    pool = Pool()
    tasks.append(task(has_one_of_a_pool(pool), "has_one_of_a_pool"))
    await asyncio.sleep(0)
    tasks.append(task(waits_at_the_pool(pool), "lock|has_one_of_a_pool"))
    lender = Lender()
    tasks.append(task(has_one_of_a_lender(lender), "has_one_of_a_lender"))
    await asyncio.sleep(0)
    tasks.append(task(waits_at_the_lender(lender), "lock|has_one_of_a_lender"))
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    print("ready", flush=True)
    await told.wait()
    # A generator that is closed gives back what it had.
    await kept.pop().aclose()
    await asyncio.sleep(100_000)

asyncio.run(main())
""".replace("VARIABLES", ", ".join(f"v{i}" for i in range(40)))
USERS = 13


def _told(told: Told) -> dict[str, str]:
    """Name of a task that waits for a lock -> who has that, as the stream tells it."""
    found: dict[str, str] = {}
    for row in told.tasks.values():
        if row.name.startswith("lock|") and row.state in ("lock", "queue"):
            having = [t for t in told.tasks.values() if any(h.lock == row.wait.object for h in t.holds)]
            found[row.name] = "lock|" + " ".join(sorted(t.name for t in having))
    return found


@pytest.mark.few
def test_what_a_generator_took_is_had_by_who_iterates_it_or_by_itself(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE) as process, watched(process.pid) as watch:
        _until_right(watch, USERS)
        alone = [t for t in watch.told.definitions.values() if t.kind == "generator"]
        assert [t.name for t in alone] == ["rows"] and alone[0].id in watch.told.tasks
        os.kill(process.pid, signal.SIGUSR1)
        watch.until(lambda: alone[0].id in watch.told.gone)
        _until_right(watch, USERS - 1)


def _until_right(watch: Watch, users: int) -> None:
    def right() -> None:
        found = _told(watch.told)
        assert not {f"{name}: told as {told}" for name, told in found.items() if name != told}
        assert len(found) == users

    watch.until_passes(right)

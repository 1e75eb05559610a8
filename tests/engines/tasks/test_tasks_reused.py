"""Tasks whose memory was that of others before are seen like any."""

from __future__ import annotations

import ctypes
import os
import time

import pytest
from tasks_helpers import watched

from capacity import WAITS
from concview.cpython.memory import Memory
from concview.engines.direct.tasks.records import COOL_NS, Blocks, Task
from interpreters import Interpreter, interpreters, target

pytestmark = pytest.mark.units(WAITS)

#: A batch lasts until a line comes: that is when it was seen, on a full machine late.
BATCHES = """
import asyncio, sys

async def part(turn):
    await turn

async def main():
    loop, turns = asyncio.get_running_loop(), []
    def over():
        sys.stdin.readline()
        turns[-1].set_result(None)
    loop.add_reader(sys.stdin, over)
    print("ready", flush=True)
    while True:
        turns.append(loop.create_future())
        await asyncio.gather(*(part(turns[-1]) for n in range(20)))

asyncio.run(main())
"""
GIL = [i for i in interpreters() if not i.free_threaded]
SOME = list(dict.fromkeys([GIL[0], GIL[-1]])) if GIL else []


@pytest.mark.parametrize("python", SOME, ids=[i.label for i in SOME])
def test_all_of_a_batch_are_seen_batch_after_batch(python: Interpreter) -> None:
    with target(python, BATCHES) as process, watched(process.pid) as watch:
        told = watch.told
        batches: set[frozenset[int]] = set()

        def another() -> bool:
            parts = frozenset(r.id for r in told.tasks.values() if r.function == "part" and r.state != "ready")
            if len(parts) == 20 and all(not parts & known for known in batches):
                batches.add(parts)
                process.send("over")
            return len(batches) >= 4

        watch.until(another)
        main = next(r for r in told.tasks.values() if r.function == "main")
        watch.until(lambda: main.awaited == 20)


ONE_BY_ONE = """
import asyncio

async def part():
    await asyncio.sleep(100_000)

async def one_by_one():
    while True:
        try:
            await asyncio.wait_for(part(), 1)
        except asyncio.TimeoutError:
            pass

async def main():
    users = [asyncio.get_running_loop().create_task(one_by_one()) for _ in range(8)]
    await asyncio.sleep(0)
    print("ready", flush=True)
    await asyncio.gather(*users)

asyncio.run(main())
"""


@pytest.mark.parametrize("python", [i for i in GIL if (3, 9) <= i.version < (3, 12)][-1:], ids=lambda i: i.label)
def test_who_waits_for_one_task_after_another_waits_for_the_last(python: Interpreter) -> None:
    """Up to 3.11 `wait_for` makes a task of what it is given, and its own future lies where the one before did."""
    with target(python, ONE_BY_ONE) as process, watched(process.pid) as watch:
        told, looks = watch.told, list[bool]()

        def look() -> bool:
            users = [r for r in told.tasks.values() if r.function == "one_by_one"]
            parts = {r.id for r in told.tasks.values() if r.function == "part"}
            looks.append({i for r in users for i in r.awaits} == parts and len(users) == len(parts) == 8)
            return told.clock >= 6e9

        watch.until(look)
        # Some are new each second: for a tenth of it their owners may not have been looked at yet.
        assert sum(looks[len(looks) // 4 :]) > len(looks) / 2, looks


ONES = """
import asyncio

async def part():
    await asyncio.sleep(1000)

async def main():
    print("ready", flush=True)
    parts = [asyncio.create_task(part()) for n in range(20)]
    while True:
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


@pytest.mark.parametrize("python", SOME, ids=[i.label for i in SOME])
def test_where_something_else_lay_a_task_is_seen_at_once(python: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a look at the lists and one at the tasks an address may have been something else's for a moment."""
    with target(python, ONES) as process, watched(process.pid) as watch:
        tracker = watch.engine._tasks
        name = slice(tracker._layout.name, tracker._layout.name + 8)
        one: list[bytes] = []

        def is_task(head: bytes) -> bool:
            one.append(head[name])
            return head[name] == one[0]

        with monkeypatch.context() as patch:
            patch.setattr(tracker._walker, "is_task", is_task)
            watch.until(lambda: len(tracker._refused) >= 20 and watch.told.tasks)
        assert len(watch.told.tasks) == 1
        totals = tracker.totals
        looks = totals.looks - totals.skipped
        watch.until(lambda: totals.looks - totals.skipped > looks + 1)
        assert len(watch.told.tasks) >= 20  # the one that ticks may run right now


AGAIN = """
import asyncio, sys

class Answers:
    def noted(self, future): pass
    async def ask(self):
        self.waiter = waiter = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(self.noted)  # before the task's own, as asyncpg does
        return await waiter

async def ask_again_and_again(answers):
    while True:
        await answers.ask()

async def main():
    answers = Answers()
    def over():
        sys.stdin.readline()
        waiter, answers.waiter = answers.waiter, None
        waiter.set_result(None)
    asyncio.get_running_loop().add_reader(sys.stdin, over)
    print("ready", flush=True)
    await asyncio.gather(ask_again_and_again(answers))

asyncio.run(main())
"""


@pytest.mark.parametrize("python", GIL, ids=[i.label for i in GIL])
def test_who_waits_again_where_all_lies_as_before_waits_anew(python: Interpreter) -> None:
    with target(python, AGAIN) as process, watched(process.pid) as watch:
        told, began = watch.told, 0

        def waits() -> bool:
            return any(r.function == "ask_again_and_again" and r.since_ns >= began for r in told.tasks.values())

        watch.until(waits)
        for _ in range(12):
            began = time.monotonic_ns()
            process.send("over")
            watch.until(waits)


SHARED = """
import asyncio

async def comes_and_goes(shared):
    while True:
        await asyncio.wait([shared], timeout=0.2)

async def stays(shared):
    await shared

async def main():
    shared = asyncio.get_running_loop().create_future()
    print("ready", flush=True)
    await asyncio.gather(comes_and_goes(shared), stays(shared), stays(shared))

asyncio.run(main())
"""


@pytest.mark.parametrize("python", SOME, ids=[i.label for i in SOME])
def test_who_stays_while_the_first_one_comes_and_goes_waits_since_it_came(python: Interpreter) -> None:
    with target(python, SHARED) as process, watched(process.pid) as watch:
        told, since, gone = watch.told, set[tuple[int, int]](), set[int]()

        def look() -> bool:
            since.update((r.id, r.since_ns) for r in told.tasks.values() if r.function == "stays")
            gone.update(r.since_ns for r in told.tasks.values() if r.function == "comes_and_goes")
            return len(gone) > 8

        watch.until(look)
        assert len(since) == 2


def test_anything_may_lie_in_the_place_of_an_address() -> None:
    """Also what is no address at all: it is not read, and nothing that has moved is made up."""
    blocks = Blocks(Memory(os.getpid()), (16, 24), 40, 24)
    kept = [bytearray(200) for _ in range(20)]
    tasks = [Task(id(one), 0, 0) for one in kept]
    for number, task in enumerate(tasks):
        task.future, task.pulse = (1 << 64) - 1 - 8 * number, (1 << 64) - 8
        blocks.put(task, 0)
    blocks.settle(tasks)
    # Read one by one, and, after a while, laid out with their neighbours.
    assert not blocks.moved(1) and not blocks.moved(2 * COOL_NS) and not blocks.moved(3 * COOL_NS)
    assert blocks._cold


@pytest.mark.parametrize("cold", [False, True], ids=["one by one", "with their neighbours"])
def test_another_first_callback_at_the_same_place_is_another_wait(cold: bool) -> None:
    """One that was taken back is none: callbacks that came after it stand in a list."""
    blocks = Blocks(Memory(os.getpid()), (16, 24), 40, 24)
    kept = [(ctypes.c_uint64 * 16)(*range(1, 17)) for _ in range(40)]
    tasks = [Task(ctypes.addressof(one), 0, 0) for one in kept[:20]]
    for task, future in zip(tasks, kept[20:], strict=True):
        task.future = ctypes.addressof(future)
        blocks.put(task, 0)
    blocks.settle(tasks)
    now = 3 * COOL_NS if cold else 1
    assert not blocks.moved(now) and bool(blocks._cold) == cold
    callback = 24 // 8
    for number, task in enumerate(tasks):
        future = kept[20 + number]
        future[callback] += 100
        assert blocks.moved(now) == [task]
        future[callback] = 0
        assert not blocks.moved(now)
        future[callback] = 7
        assert not blocks.moved(now)
        future[callback + 1] += 1  # what belongs to it, and others' callbacks
        assert not blocks.moved(now)
        future[40 // 8] += 1  # its state
        assert blocks.moved(now) == [task]

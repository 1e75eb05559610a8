"""A call in a thread whose result a library of its own way passes on to a task's future, as tornado's executors do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import blame_passes

from capacity import WAITS
from concview.snapshot import Blame
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

SOURCE = r"""
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
executor, hold = ThreadPoolExecutor(1, "slow"), threading.Event()
def chain(call, future, loop):
    def copy(done):
        future.set_result(done.result())
    call.add_done_callback(lambda done: loop.call_soon_threadsafe(copy, done))
def slow():
    hold.wait()
async def view():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    chain(executor.submit(slow), future, loop)
    await future
async def main():
    views = [asyncio.ensure_future(view()) for _ in range(4)]
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    await asyncio.wait(views)
asyncio.run(main())
"""


#: The only worker waits for a coroutine, which waits for a call that lies in the queue behind others.
CIRCLE = r"""
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
executor = ThreadPoolExecutor(1, "slow")
def chain(call, future, loop):
    def copy(done):
        future.set_result(done.result())
    call.add_done_callback(lambda done: loop.call_soon_threadsafe(copy, done))
async def part(loop):
    future = loop.create_future()
    chain(executor.submit(int), future, loop)
    await future
def render(loop):
    asyncio.run_coroutine_threadsafe(part(loop), loop).result()
async def main():
    loop = asyncio.get_running_loop()
    executor.submit(render, loop)
    for _ in range(5):
        executor.submit(int)
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.few
def test_a_call_that_is_queued_behind_the_one_that_waits_for_it(direct_python: Interpreter) -> None:
    with target(direct_python, CIRCLE) as process:

        def said(blame: Blame) -> None:
            assert blame.verdict == "stuck" and "they wait for each other" in blame.sentence
            assert any(c.path and c.path[0].what == "a worker thread of its executor" for c in blame.causes)

        blame_passes(process.pid, said)


@pytest.mark.few
def test_one_waits_for_the_call_and_the_others_for_a_worker(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE) as process:

        def told(blame: Blame) -> dict[str, int]:
            causes = blame.causes
            return {c.path[0].what: len(c.tasks) for c in causes if c.path and c.tasks and c.thread_s > 1.5}

        def said(blame: Blame) -> None:
            assert told(blame) == {"a call in a thread": 1, "a worker thread of its executor": 3}

        blame_passes(process.pid, said)

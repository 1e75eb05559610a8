"""Waits with a time limit: tasks' names say whether theirs has one that can be told, and so must the stream."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import Told, watched

from capacity import WAITS
from concview.model import LIMITED_NS
from interpreters import Interpreter, current, target

pytestmark = pytest.mark.units(WAITS)

#: Names: 'when', 'some' (there is one, not known when), 'none'; what comes behind a blank tells them apart. Waits that
#: are over at 100,000 s of the loop's clock or later.
SOURCE = r"""
import asyncio, contextlib, sys

class Never:
    def __init__(self, loop):
        self.waiter = loop.create_future()
    def stop_at_deadline(self):
        self.waiter.cancel()
    def set_at_last(self, one):
        pass

async def never():
    await asyncio.Event().wait()

async def wait_for():
    await asyncio.wait_for(never(), 100_000)

async def wait_for_ever():
    await asyncio.wait_for(never(), None)

async def wait():
    await asyncio.wait([asyncio.ensure_future(never())], timeout=100_000)

async def wait_for_all():
    await asyncio.wait([asyncio.ensure_future(never())])

async def cancelled_later():
    loop = asyncio.get_running_loop()
    me = asyncio.current_task()
    loop.call_later(100_000, me.cancel)
    await never()

async def cancelled_never():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_later(float("inf"), future.cancel)
    loop.call_at(1e300, asyncio.current_task().cancel)
    await future

async def ended_by_a_method():
    loop = asyncio.get_running_loop()
    it = Never(loop)
    loop.call_later(100_000, it.stop_at_deadline)
    await it.waiter

async def a_timer_of_something_else():
    loop = asyncio.get_running_loop()
    it = Never(loop)
    loop.call_later(100_000, it.set_at_last, asyncio.current_task())
    await never()

async def timeout(seconds):
    async with asyncio.timeout(seconds):
        await never()

async def main():
    tasks = {"none": never, "none wait_for": wait_for_ever, "some wait": wait, "none wait": wait_for_all,
             "when cancel": cancelled_later, "none infinity": cancelled_never,
             "when method": ended_by_a_method, "none timer": a_timer_of_something_else,
             "when wait_for" if sys.version_info >= (3, 12) else "some wait_for": wait_for}
    if sys.version_info >= (3, 11):
        tasks["when timeout"] = lambda: timeout(100_000)
        tasks["none timeout"] = lambda: timeout(None)
        tasks["none in this life"] = lambda: timeout(9.5e9)
    kept = []
    for name, function in tasks.items():
        task = asyncio.get_running_loop().create_task(function())
        task.set_name(name)
        kept.append(task)
    await asyncio.sleep(0.05)
    print("ready", len(tasks), sep="\n", flush=True)
    await asyncio.sleep(100_000)

asyncio.run(main())
"""


def _told(told: Told) -> dict[str, str]:
    kinds = {0: "none", LIMITED_NS: "some"}
    rows = [row for row in told.tasks.values() if row.name.split()[0] in ("none", "some", "when")]
    return {row.name: kinds.get(row.due_ns, "when") for row in rows}


def _check(found: dict[str, str], number: int) -> None:
    assert len(found) == number
    assert found == {name: name.split()[0] for name in found}


@pytest.mark.few
def test_which_waits_have_a_time_limit(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE) as process, watched(process.pid) as watch:
        number = int(process.line())
        watch.until_passes(lambda: _check(_told(watch.told), number))


LIBRARIES = r"""
import asyncio, sys
import anyio

async def by_fail_after():
    with anyio.fail_after(100_000):
        await asyncio.Event().wait()

async def by_scope(seconds):
    with anyio.move_on_after(seconds):
        await asyncio.Event().wait()

async def main():
    tasks = {"when fail_after": by_fail_after(), "when move_on": by_scope(100_000), "none move_on": by_scope(None)}
    kept = []
    for name, coroutine in tasks.items():
        kept.append(asyncio.get_running_loop().create_task(coroutine, name=name))
    await asyncio.sleep(0.05)
    print("ready", len(tasks), sep="\n", flush=True)
    await asyncio.sleep(100_000)

asyncio.run(main())
"""


def test_limits_of_cancel_scopes() -> None:
    pytest.importorskip("anyio", reason="NOT TESTED: anyio is not installed for the interpreter that runs the tests")
    with target(current(), LIBRARIES) as process, watched(process.pid) as watch:
        number = int(process.line())
        watch.until_passes(lambda: _check(_told(watch.told), number))

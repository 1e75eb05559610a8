"""Where no thread was on a CPU since the last look, tasks are as they were: nothing is read, and what comes is seen."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from tasks_helpers import watched

from capacity import WAITS
from concview.linux import switches, wakeups
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

ABLE = wakeups.probe() if wakeups.probe().available else switches.probe(os.getpid())
RESTS = """
import asyncio, sys
async def sleeps(): await asyncio.sleep(1000)
async def turns(woken): await woken.wait(); await asyncio.sleep(2000)
async def main():
    woken = asyncio.Event()
    kept = [asyncio.create_task(sleeps(), name=f"sleeps-{n}") for n in range(30)]
    kept.append(asyncio.create_task(turns(woken), name="turns"))
    asyncio.get_running_loop().add_reader(0, lambda: (sys.stdin.readline(), woken.set()))
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    await asyncio.sleep(3000)
asyncio.run(main())
"""


@pytest.mark.few
@pytest.mark.skipif(not ABLE.available, reason=f"records of switches: {ABLE.why}")
def test_tasks_of_a_program_at_rest_are_looked_at_without_reading(gil_python: Interpreter) -> None:
    with target(gil_python, RESTS) as process, watched(process.pid) as watch:
        engine, told = watch.engine, watch.told
        tracker, memory = engine._tasks, engine._memory
        watch.until(lambda: len(told.tasks) == 32 and told.complete and engine.resting)
        poll, calls, still = tracker.poll, [], 0

        def counted(*arguments: Any) -> None:
            nonlocal still
            before = memory.calls
            poll(*arguments)
            still += arguments[-1]
            calls.append(memory.calls - before)

        tracker.poll = counted  # type: ignore[assignment,method-assign]
        looks = tracker.totals.looks
        watch.until(lambda: still >= 40)
        assert sum(not n for n in calls) > 0.7 * still
        assert tracker.totals.looks > looks
        assert process.popen.stdin is not None
        process.popen.stdin.write(b"\n")
        process.popen.stdin.flush()
        woken_ns = time.monotonic_ns()
        watch.until(lambda: told.by_name()["turns"].state == "sleep")
        assert told.by_name()["turns"].since_ns > woken_ns - 1_000_000_000
        assert told.clock > 0

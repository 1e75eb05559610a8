"""How often a living task was cancelled is read, and that it was taken back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import watched

from capacity import WAITS
from concview.model import Severity
from concview.session.session import Session
from concview.session.stream_source import LiveSource
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

SOURCE = """
import asyncio
async def stubborn():
    while True:
        try:
            await asyncio.sleep(100_000)
        except asyncio.CancelledError:
            pass
async def timed():
    while True:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(100_000)
        except TimeoutError:
            pass
async def main():
    tasks = [asyncio.create_task(stubborn(), name="stubborn"), asyncio.create_task(timed(), name="timed")]
    for _ in range(3):
        await asyncio.sleep(0)
        tasks[0].cancel()
    print("ready", flush=True)
    await asyncio.sleep(100_000)
asyncio.run(main())
"""


@pytest.mark.some(11, 12, 13, 14, 15)
def test_a_task_that_was_cancelled_and_goes_on_is_told(direct_python: Interpreter) -> None:
    if direct_python.version < (3, 11):
        pytest.skip("asyncio does not count this")
    with target(direct_python, SOURCE) as process, watched(process.pid) as watch:

        def since() -> int:
            assert watch.told.loops is not None
            told = {(watch.told.tasks[c.task].name, c.times): c.since_ns for c in watch.told.loops.cancelled}
            # That of a time limit is taken back within the same step of the loop, or nearly so.
            assert {name for name, _ in told} <= {"stubborn", "timed"}
            return told["stubborn", 3]

        first = watch.until_passes(since)
        watch.run(1.5)
        assert since() == first


ENDING = r"""
import asyncio
async def stubborn():
    print("ready", flush=True)
    while True:
        try:
            await asyncio.sleep(0.3)
        except asyncio.CancelledError:
            pass
async def main():
    asyncio.create_task(stubborn())
    await asyncio.sleep(0.1)
asyncio.run(main())
"""


@pytest.mark.some(12)
def test_at_its_end_the_program_waits_for_it(direct_python: Interpreter) -> None:
    if direct_python.version < (3, 11):
        pytest.skip("asyncio does not count this")
    with target(direct_python, ENDING) as process:
        session = Session(LiveSource(process.pid, "direct", 50.0, 50.0))
        session.start()
        try:
            for seconds in range(6, 30):
                findings = [f for f in session.wait(float(seconds)).findings if f.id == "swallowed-cancellation"]
                if findings and findings[0].severity is Severity.WARN:
                    break
        finally:
            session.close()
        assert findings and findings[0].severity is Severity.WARN
        assert "at its end, and asyncio.run waits for that" in findings[0].summary

"""Coroutines given to the loop of another thread, which has not begun with them, are read from its queue."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "direct"))

from direct_helpers import tick_until_passes, watching
from tasks_helpers import blame_passes

from capacity import WAITS
from concview.model import Loops
from concview.snapshot import Blame
from interpreters import Interpreter, target

pytestmark = pytest.mark.units(WAITS)

SOURCE = r"""
import asyncio, threading
loops, ready, both = {}, threading.Barrier(2), threading.Barrier(3)
async def value():
    return 1
async def ask(other):
    future = asyncio.run_coroutine_threadsafe(value(), loops[other])
    both.wait()
    return future.result()
def run(me, other):
    async def main():
        loops[me] = asyncio.get_running_loop()
        ready.wait()
        await ask(other)
    asyncio.run(main())
for pair in (("a", "b"), ("b", "a")):
    threading.Thread(target=run, args=pair, name="loop-" + pair[0], daemon=True).start()
both.wait()
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.few
def test_each_loop_has_what_the_other_thread_waits_for(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE) as process, watching(process.pid) as (engine, sink):

        def given() -> dict[int, tuple[int, ...]]:
            told = next((e for e in reversed(sink.events) if isinstance(e, Loops)), None)
            return {row.tid: row.given for row in told.loops if row.given} if told is not None else {}

        def waited() -> dict[int, int]:
            rows = {tid: sink.waited(row[2]) for tid, row in sink.rows.items()}
            return {tid: wait.lock for tid, wait in rows.items() if wait.via == "Future.result"}

        def right() -> None:
            (a, b), (first, second) = sorted(given()), [given()[tid] for tid in sorted(given())]
            assert (first, second) == ((waited()[b],), (waited()[a],))

        tick_until_passes(engine, right, looks=True)


@pytest.mark.some(12)
def test_two_loops_that_wait_for_each_other_are_stuck(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE) as process:

        def said(blame: Blame) -> None:
            assert blame.verdict == "stuck", blame
            cause = next(c for c in blame.causes if c.kind == "cycle" and c.path)
            assert cause.exact and "they wait for each other" in cause.what
            assert len(cause.threads) == 2

        blame_passes(process.pid, said)

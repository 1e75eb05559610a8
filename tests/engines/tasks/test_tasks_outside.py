"""By what something outside of a process could make its event loop go on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import blame_passes, watched

from capacity import WAITS
from concview.snapshot import Blame
from interpreters import Interpreter, current, target

pytestmark = pytest.mark.units(WAITS)

SOURCE = r"""
import asyncio, signal, sys
HOW = sys.argv[1]
if sys.argv[2:]:
    import uvloop
    uvloop.install()
async def produce(q):
    await q.put(1)
async def consume(q):
    while True:
        await q.get()
async def main():
    loop, q = asyncio.get_running_loop(), asyncio.Queue()
    if HOW == "server":
        server = await asyncio.start_server(print, "127.0.0.1", 0)
    elif HOW == "loop's handler":
        loop.add_signal_handler(signal.SIGUSR1, q.put_nowait, 2)
    elif HOW == "handler":
        signal.signal(signal.SIGHUP, lambda *a: loop.call_soon_threadsafe(q.put_nowait, 2))
    elif HOW == "timer":
        loop.call_later(100_000, q.put_nowait, 2)
    tasks = [loop.create_task(produce(q)), loop.create_task(consume(q))]
    await asyncio.sleep(0.05)
    print("ready", flush=True)
    await asyncio.gather(*tasks)
asyncio.run(main())
"""
#: What is told of a loop with nothing due: -1 where it has a timer, and is not asked any further.
OUTSIDE = {"none": (0,), "server": (1,), "loop's handler": (2,), "handler": (1,), "timer": (-1,)}


@pytest.mark.few
@pytest.mark.parametrize("how", OUTSIDE)
def test_descriptors_and_signals_that_may_wake_a_loop(direct_python: Interpreter, how: str) -> None:
    with target(direct_python, SOURCE, how) as process, watched(process.pid) as watch:
        told = watch.told

        def right() -> None:
            assert told.complete and told.loops is not None and told.loops.loops[0].looks
            assert told.loops.loops[0].outside in OUTSIDE[how]

        watch.until_passes(right)


@pytest.mark.some(12)
def test_a_loop_that_nothing_will_wake_is_stuck(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE, "none") as process:

        def said(blame: Blame) -> None:
            assert blame.verdict == "stuck", blame
            assert "Nothing can go on: the event loop has no timer" in blame.sentence
            assert "each of the 2 tasks waits" in blame.sentence and "consume for an item of q" in blame.sentence

        blame_passes(process.pid, said)


#: uvloop says nothing of its timers and descriptors: the kernel does. With a time limit, that it has none is not known.
@pytest.mark.parametrize(("how", "stands"), [("none", True), *((how, False) for how in OUTSIDE if how != "none")])
def test_a_loop_of_uvloop_that_nothing_will_wake(how: str, stands: bool) -> None:
    pytest.importorskip("uvloop", reason="NOT TESTED: uvloop is not installed for the interpreter that runs the tests")
    with target(current(), SOURCE, how, "uvloop") as process, watched(process.pid) as watch:
        told = watch.told

        def right() -> None:
            assert told.complete and told.loops is not None and told.loops.loops[0].looks
            assert told.loops.loops[0].kind == "uvloop"
            assert told.loops.loops[0].outside in OUTSIDE[how]

        watch.until_passes(right)
        if stands:

            def said(blame: Blame) -> None:
                assert "Nothing can go on: the event loop has no timer" in blame.sentence, blame

            blame_passes(process.pid, said)


TOLD = r"""
import asyncio, signal, sys
HOW = sys.argv[1]
class Kept(asyncio.Protocol):
    def __init__(self, answer):
        self.answer = answer
    def data_received(self, data):
        self.answer.set_result(data)
async def main():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(lambda r, w: r.read(), "127.0.0.1", 0)
    print("ready", flush=True)
    if HOW == "made here":
        await asyncio.Future()
    elif HOW == "made here by the loop":
        await asyncio.get_running_loop().create_future()
    done = loop.create_future()
    if HOW == "loop's handler":
        loop.add_signal_handler(signal.SIGTERM, done.set_result, None)
    elif HOW == "handler":
        signal.signal(signal.SIGHUP, lambda *a: loop.call_soon_threadsafe(done.set_result, None))
    elif HOW == "answer":
        reply = loop.create_future()
        await loop.create_connection(lambda: Kept(reply), *server.sockets[0].getsockname())
        await reply
    await done
asyncio.run(main())
"""


@pytest.mark.some(12)
@pytest.mark.parametrize("how", ["made here", "made here by the loop", "loop's handler", "handler", "answer"])
def test_who_waits_until_the_program_is_told_to_end_is_idle(direct_python: Interpreter, how: str) -> None:
    """And who waits for a future that a protocol sets is not."""
    with target(direct_python, TOLD, how) as process:
        wanted = "idle" if how != "answer" else "still"

        def said(blame: Blame) -> None:
            assert blame.verdict == wanted, blame

        blame_passes(process.pid, said)

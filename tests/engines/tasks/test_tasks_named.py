"""What an object is called that only a library's frames know."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import blame_passes, watched

from concview.model import TaskState
from concview.snapshot import Blame
from interpreters import Interpreter, current, target

LIBRARY = """
import asyncio

class Channel:
    def __init__(self):
        self._closed = asyncio.Event()

    async def wait_closed(self):
        await self._closed.wait()
"""
PROGRAM = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import wire.channel

async def main():
    tasks = [asyncio.ensure_future(wire.channel.Channel().wait_closed()) for _ in range(2)]
    print("ready", flush=True)
    await asyncio.gather(*tasks)

asyncio.run(main())
"""


def test_an_event_of_a_library_is_named_by_it(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "wire"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "channel.py").write_text(LIBRARY, "utf-8")
    with target(current(), PROGRAM, str(package.parent)) as process, watched(process.pid) as watch:

        def named() -> None:
            names = {o.name for o in watch.told.objects.values() if o.kind == "Event"}
            assert names == {"_closed of wire"}

        watch.until_passes(named)


ACCOUNTS = """
import asyncio

class Account:
    def __init__(self):
        self.lock = asyncio.Lock()

async def transfer(source, target):
    async with source.lock:
        await asyncio.sleep(0.05)
        async with target.lock:
            pass

async def main():
    a, b = Account(), Account()
    tasks = [asyncio.ensure_future(transfer(a, b)), asyncio.ensure_future(transfer(b, a))]
    await asyncio.sleep(0.2)
    print("ready", flush=True)
    await asyncio.gather(*tasks)

asyncio.run(main())
"""


@pytest.mark.some(9, 12)
def test_a_lock_is_called_what_the_line_calls_it_that_waits(direct_python: Interpreter) -> None:
    with target(direct_python, ACCOUNTS) as process, watched(process.pid) as watch:
        waits = watch.told.waits

        def written() -> None:
            assert {w.written for w in waits.values() if w.state is TaskState.LOCK} == {"target.lock"}

        watch.until_passes(written)
    with target(direct_python, ACCOUNTS) as process:

        def said(blame: Blame) -> None:
            assert "target.lock" in blame.sentence, blame

        blame_passes(process.pid, said)


REPLACED = """
import asyncio

class Feed:
    def __init__(self):
        self.changed, self.kept = asyncio.Event(), asyncio.Event()

    async def next(self):
        await self.changed.wait()

    async def last(self):
        await self.kept.wait()

async def main():
    feed = Feed()
    tasks = [asyncio.ensure_future(feed.next()), asyncio.ensure_future(feed.last())]
    await asyncio.sleep(0.2)
    feed.changed = asyncio.Event()
    print("ready", flush=True)
    await asyncio.gather(*tasks)

asyncio.run(main())
"""


@pytest.mark.few
def test_an_event_in_whose_place_another_one_was_put(direct_python: Interpreter) -> None:
    with target(direct_python, REPLACED) as process, watched(process.pid) as watch:

        def replaced() -> None:
            told = {o.name: o.replaced for o in watch.told.objects.values() if o.kind == "Event"}
            assert told == {"self.changed": "self.changed", "self.kept": ""}

        watch.until_passes(replaced)

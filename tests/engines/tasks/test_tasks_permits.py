"""Permits that a library takes in one function, for tasks that give them back in another."""

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

#: To enter a pool takes nothing of it: what its block is in has no permit.
LIBRARY = """
import asyncio
class Pool:
    def __init__(self, size):
        self.room = asyncio.Semaphore(size)
        self.tasks = []
    async def __aenter__(self):
        return self
    async def __aexit__(self, *args):
        await asyncio.gather(*self.tasks)
    async def _run(self, job):
        await job
        self.room.release()
    async def spawn(self, job):
        await self.room.acquire()
        self.tasks.append(asyncio.create_task(self._run(job)))
"""
SOURCE = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from pooled import Pool
async def job():
    await asyncio.sleep(100_000)
async def main():
    async with Pool(2) as pool:
        print("ready", flush=True)
        for _ in range(9):
            await pool.spawn(job())
asyncio.run(main())
"""


@pytest.mark.some(9, 12, 15)
def test_who_will_give_a_permit_back_has_it(direct_python: Interpreter, tmp_path: Path) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "pooled.py").write_text(LIBRARY)
    with target(direct_python, SOURCE, str(folder)) as process:

        def said(blame: Blame) -> None:
            assert "waits for a permit of room" in blame.sentence
            assert "held by 2 tasks (_run), which sleep" in blame.sentence

        blame_passes(process.pid, said)

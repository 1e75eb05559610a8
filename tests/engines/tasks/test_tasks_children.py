"""Tasks that wait for a child process: its end, and what it writes, by the process itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import watched

from interpreters import Interpreter, target

SOURCE = r"""
import asyncio, sys
async def waits(process):
    await process.wait()
async def reads(process):
    await process.stdout.read()
async def writes(process):
    while True:
        process.stdin.write(bytes(100_000))
        await process.stdin.drain()
async def main():
    loop, pipe = asyncio.get_running_loop(), asyncio.subprocess.PIPE
    tasks, processes = [], []
    for function in (waits, reads, writes):
        process = await asyncio.create_subprocess_exec("sleep", "1000", stdin=pipe, stdout=pipe)
        processes.append(process)
        tasks.append(loop.create_task(function(process)))
        tasks[-1].set_name("%s|%d" % (function.__name__, process.pid))
    print("ready", flush=True)
    try:
        await loop.run_in_executor(None, sys.stdin.read)
    finally:
        for process in processes:
            process.kill()
asyncio.run(main())
"""


@pytest.mark.few
def test_a_child_that_is_waited_for_read_or_written_to(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE) as process, watched(process.pid) as watch:

        def told() -> dict[str, str]:
            rows = [r for r in watch.told.tasks.values() if "|" in r.name and r.wait.peer is not None]
            return {r.name: r.wait.peer.described for r in rows if r.wait.peer is not None}

        def right() -> None:
            assert watch.told.complete and len(told()) == 3
            assert all(told()[name] == f"process sleep (pid {name.rpartition('|')[2]})" for name in told()), told()

        watch.until_passes(right)

"""A call that was given to a process pool is no call in a thread, and none that is queued for one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import watched

from interpreters import Interpreter, target

SOURCE = """
import asyncio, concurrent.futures, multiprocessing, os, signal, threading, time

def in_process(number):
    signal.alarm(120)
    time.sleep(100_000)

async def call(pool, function, *arguments):
    await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)

async def main():
    processes = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork"))
    threads = concurrent.futures.ThreadPoolExecutor(1)
    tasks = []
    for kind, pool, count in (("process", processes, 3), ("thread", threads, 2)):
        for number in range(count):
            function = (in_process, number) if kind == "process" else (time.sleep, 100_000)
            tasks.append(asyncio.get_running_loop().create_task(call(pool, *function)))
            tasks[-1].set_name(kind + str(number))
        await asyncio.sleep(0.1)
    print("ready", flush=True)
    await asyncio.sleep(100_000)

asyncio.run(main())
"""


@pytest.mark.few
def test_calls_in_processes_and_in_threads(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE) as process, watched(process.pid) as watch:

        def told() -> dict[str, tuple[str, bool, bool]]:
            """Name -> (kind of the wait, whether a thread is named, whether it is queued)."""
            rows = [r for r in watch.told.tasks.values() if r.state == "executor"]
            return {r.name: (r.wait.kind, r.wait.tid > 0, r.wait.queued) for r in rows}

        wanted = {
            "process0": ("processes", False, False),
            "process1": ("processes", False, False),
            "process2": ("processes", False, False),
            "thread0": ("", True, False),
            "thread1": ("", False, True),
        }
        try:
            watch.until(lambda: told() == wanted)
        except AssertionError:
            assert told() == wanted
            raise

"""A suspended task that refers to what a thread waits for is told, and only that one; its number is minus its id."""

from __future__ import annotations

from direct_helpers import KeepingSink, tick_until, watching

from concview.model import Relations, TaskDef
from interpreters import Interpreter, target

SOURCE = """
import asyncio, threading

class Inner:
    def __init__(self):
        self.filled = threading.Condition()

class Bridge:
    def __init__(self):
        self.inner = Inner()

def worker(inner):
    with inner.filled:
        inner.filled.wait()

async def feeder(bridge):
    await asyncio.sleep(100_000)

async def other():
    inner = Inner()
    await asyncio.sleep(100_000)

async def main():
    bridge = Bridge()
    threading.Thread(target=worker, args=(bridge.inner,), daemon=True).start()
    tasks = []
    for function, arguments, name in ((feeder, (bridge,), "feeder"), (other, (), "other")):
        tasks.append(asyncio.get_running_loop().create_task(function(*arguments)))
        tasks[-1].set_name(name)
    del bridge
    print("ready", flush=True)
    await asyncio.sleep(100_000)

asyncio.run(main())
"""


def _paths(sink: KeepingSink) -> set[tuple[str, str]]:
    """(name of a task, its way to the Condition that is waited for), as told last."""
    names = {e.id: e.name for e in sink.events if isinstance(e, TaskDef)}
    reports = [e for e in sink.events if isinstance(e, Relations)]
    rows = [o for o in reports[-1].objects if o.kind == "Condition"] if reports else []
    return {(names.get(-r.tid, "?"), r.path) for o in rows for r in o.references if r.tid < 0}


def test_tasks_that_refer_to_what_a_thread_waits_for(direct_python: Interpreter) -> None:
    with target(direct_python, SOURCE) as process, watching(process.pid) as (engine, sink):
        tick_until(engine, lambda: _paths(sink), looks=True)
        assert _paths(sink) == {("feeder", "bridge.inner.filled")}

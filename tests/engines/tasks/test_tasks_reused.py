"""Tasks whose memory was that of others before are seen like any."""

from __future__ import annotations

import pytest
from tasks_helpers import watched

from interpreters import Interpreter, interpreters, target

BATCHES = """
import asyncio

async def part(n):
    await asyncio.sleep(0.4)

async def main():
    print("ready", flush=True)
    while True:
        await asyncio.gather(*(part(n) for n in range(20)))

asyncio.run(main())
"""
GIL = [i for i in interpreters() if not i.free_threaded]
SOME = list(dict.fromkeys([GIL[0], GIL[-1]])) if GIL else []


@pytest.mark.parametrize("python", SOME, ids=[i.label for i in SOME])
def test_all_of_a_batch_are_seen_batch_after_batch(python: Interpreter) -> None:
    with target(python, BATCHES) as process, watched(process.pid) as watch:
        told = watch.told
        batches: set[frozenset[int]] = set()

        def another() -> bool:
            parts = frozenset(r.id for r in told.tasks.values() if r.function == "part" and r.state == "sleep")
            if len(parts) == 20 and all(not parts & known for known in batches):
                batches.add(parts)
            return len(batches) >= 4

        watch.until(another)
        main = next(r for r in told.tasks.values() if r.function == "main")
        watch.until(lambda: main.awaited == 20)

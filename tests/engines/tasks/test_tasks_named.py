"""What an object is called that only a library's frames know."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tasks_helpers import watched

from interpreters import current, target

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
        watch.until(lambda: [o for o in watch.told.objects.values() if o.kind == "Event"])
        names = {o.name for o in watch.told.objects.values() if o.kind == "Event"}
        assert names == {"_closed of wire"}

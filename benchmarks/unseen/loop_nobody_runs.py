"""fsspec.asyn.sync with a loop that nobody runs (fsspec/filesystem_spec#981)."""

import asyncio
import _go
import fsspec.asyn

NEEDS = ("fsspec",)
EXPECT = "stuck"


async def fetch():
    await asyncio.sleep(0.1)
    return 1


loop = asyncio.new_event_loop()
_go.ready()
fsspec.asyn.sync(loop, fetch)

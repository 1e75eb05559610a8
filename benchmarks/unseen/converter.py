"""asyncio: wait() for a process whose output nobody reads (python documentation's warning; thrawn01/hubble#3)."""

import asyncio
import sys

import _go

EXPECT = "stuck or named child-pipe-deadlock"


async def main():
    p = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print('x' * 10_000_000)", stdout=asyncio.subprocess.PIPE
    )
    _go.ready(2)
    await p.wait()


asyncio.run(main())

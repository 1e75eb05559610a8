"""Every request leaves a task behind that waits for what never comes."""

import asyncio

EXPECT = "stuck by task-leak"
kept: "list[asyncio.Task[None]]" = []


async def audit(never: asyncio.Event) -> None:
    await never.wait()


async def main() -> None:
    never = asyncio.Event()
    print("ready", flush=True)
    while True:
        kept.append(asyncio.ensure_future(audit(never)))
        await asyncio.sleep(0.02)


asyncio.run(main())

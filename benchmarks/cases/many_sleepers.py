"""Three hundred tasks sleep for seconds, as timers do: healthy."""

import asyncio

EXPECT = "quiet"


async def timer(seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)


async def main() -> None:
    print("ready", flush=True)
    await asyncio.gather(*(timer(1 + number % 7) for number in range(300)))


asyncio.run(main())

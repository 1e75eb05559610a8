"""An ASGI application under hypercorn on trio, that nobody calls."""

from __future__ import annotations

from _stand import free_port

NEEDS = ("hypercorn", "trio")


async def app(scope, receive, send):  # type: ignore[no-untyped-def]
    if scope["type"] != "http":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    import trio

    await trio.sleep(0.005)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def main() -> None:
    import trio
    from hypercorn.config import Config
    from hypercorn.trio import serve

    config = Config()
    config.bind, config.loglevel = [f"127.0.0.1:{free_port()}"], "CRITICAL"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, app, config)
        await trio.sleep(1)
        print("ready", flush=True)


if __name__ == "__main__":
    import trio

    trio.run(main)

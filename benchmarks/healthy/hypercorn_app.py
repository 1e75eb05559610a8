"""An ASGI application under hypercorn on asyncio, with a few browsers."""

from __future__ import annotations

import asyncio

from _stand import browse, free_port

NEEDS = ("hypercorn",)


async def app(scope, receive, send):  # type: ignore[no-untyped-def]
    if scope["type"] != "http":
        return
    await asyncio.sleep(0.005)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def main() -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    port = free_port()
    config.bind, config.loglevel = [f"127.0.0.1:{port}"], "CRITICAL"
    browse(port)
    asyncio.get_running_loop().call_later(1, lambda: print("ready", flush=True))
    await serve(app, config)  # type: ignore[arg-type]


asyncio.run(main())

"""An ASGI application under uvicorn; each page waits for 5 ms and calls one blocking function in a thread."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from _stand import browse, free_port, perform

NEEDS = ("uvicorn",)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    await asyncio.sleep(0.005)
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.002)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b"hello" * 200})


async def program() -> None:
    import uvicorn

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
    browse(port)
    await server.serve()


if __name__ == "__main__":
    perform(program)

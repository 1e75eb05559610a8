"""Starlette and FastAPI: the route that handles a request. Seen with Starlette 0.27 to 1.10."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._asgi import of_scope


def read(view: View) -> Raw | None:
    return of_scope(view.local("scope"), view.local("self").attr("path").text())


KIND = Kind(
    "starlette",
    (
        At("starlette/routing.py", "Route.handle"),
        At("starlette/routing.py", "WebSocketRoute.handle"),
        At("fastapi/routing.py", "APIRoute.handle"),
    ),
    read,
)

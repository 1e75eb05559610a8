"""Starlette and FastAPI: the route that handles a request. Seen with Starlette 0.27 to 1.10."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._asgi import of_scope


def read(view: View) -> Raw | None:
    route = view.local("self")
    path = route.attr("path").text()
    if not route.attr("_base_app"):
        return of_scope(view.local("scope"), path)
    found = of_scope(view.local("scope"))
    if found is not None:  # a mount: its own routes come further in
        found.mount, found.route = path, ""
    return found


KIND = Kind(
    "starlette",
    (
        At("starlette/routing.py", "Route.handle"),
        At("starlette/routing.py", "WebSocketRoute.handle"),
        At("starlette/routing.py", "Mount.handle"),
        At("fastapi/routing.py", "APIRoute.handle"),
    ),
    read,
)

"""Starlette and FastAPI: the route that handles a request. Seen with Starlette 0.27 to 1.10 and
FastAPI 0.99 to 0.165."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._asgi import of_scope, template


def read(view: View) -> Raw | None:
    route, scope = view.local("self"), view.local("scope")
    path = template(scope, route)
    if not route.attr("_base_app"):
        return of_scope(scope, path)
    found = of_scope(scope)
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

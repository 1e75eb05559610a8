"""The scope of an ASGI request, which servers make and frameworks copy."""

from __future__ import annotations

from concview.labels.access import Ref
from concview.labels.base import Raw
from concview.model import WorkKind


def of_scope(scope: Ref, route: str = "", after: bool = False) -> Raw | None:
    """None for a scope that is no request. Its parts tell it from others: the dict itself is copied by frameworks."""
    kind = scope.item("type").text(16)
    if kind not in ("http", "websocket"):
        return None
    path = scope.item("path")
    method = scope.item("method").text(16) if kind == "http" else "WEBSOCKET"
    key = ("asgi", scope.item("headers").address, scope.item("raw_path").address, path.address, path.text())
    # What Starlette's router notes in the scope is without the mounts that it is in.
    found = route or ("" if scope.item("root_path").text(1) else template(scope, scope.item("route")))
    return Raw(WorkKind.REQUEST, key, method=method, path=path.text(), route=found, after=after)


def template(scope: Ref, route: Ref) -> str:
    """The path of a route of Starlette's or FastAPI's. FastAPI 0.137 and newer has one route for a router that is
    included several times, without the prefixes of its inclusions: these are in a note that it leaves in the scope."""
    included = scope.item("fastapi").item("effective_route_context")
    if included and included.attr("original_route").address == route.address:
        return included.attr("path").text()
    return route.attr("path").text()

"""Litestar, with the path that its route was made of. Seen with 2.25."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._asgi import of_scope


def read(view: View) -> Raw | None:
    return of_scope(view.local("scope"), view.local("self").attr("path_format").text())


KIND = Kind(
    "litestar",
    (
        At("litestar/routes/http.py", "HTTPRoute.handle"),
        At("litestar/routes/websocket.py", "WebSocketRoute.handle"),
    ),
    read,
)

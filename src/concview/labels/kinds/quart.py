"""Quart, with the rule that its router chose. Seen with 0.22."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._asgi import of_scope


def read(view: View) -> Raw | None:
    request = view.local("request") or view.local("websocket")
    # It runs in a task of its own: what both have of the scope tells that they are one.
    return of_scope(request.attr("scope"), request.attr("url_rule", "rule").text())


KIND = Kind(
    "quart",
    (
        At("quart/app.py", "Quart.handle_request"),
        At("quart/app.py", "Quart.handle_websocket"),
        At("quart_trio/app.py", "QuartTrio.handle_request"),
    ),
    read,
)

"""Falcon, with the template that its router found. Seen with 4.4; with 3.1 only the server tells."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    request = view.local("req")
    method, path = request.attr("method"), request.attr("path")
    if not method:
        return None
    made_of = request.attr("env") or request.attr("scope")
    key = ("falcon", request.address, made_of.address, path.address, path.text())
    route = request.attr("uri_template").text()
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text(), route=route)


KIND = Kind("falcon", (At("falcon/app.py", "App.__call__"), At("falcon/asgi/app.py", "App.__call__")), read)

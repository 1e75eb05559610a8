"""`wsgiref.simple_server` of the standard library."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    # Made once the request has been read: before, the handler has nothing of it, or what the last one left.
    if not view.local("handler"):
        return None
    request = view.local("self")
    method, path, line = request.attr("command"), request.attr("path"), request.attr("raw_requestline")
    key = ("wsgiref", request.address, request.attr("headers").address, line.address, path.address, path.text())
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text())


KIND = Kind("wsgiref", (At("wsgiref/simple_server.py", "WSGIRequestHandler.handle"),), read)

"""Sanic, with the path of the route that its router found. Seen with 22.12 and 25.12.

When it starts, Sanic compiles some of its methods (`handle_request`, ...) anew, and their code then names the method as
its file. The connection's method below is left as it is.
"""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    request = view.local("self").attr("request")
    method, url, route = request.attr("method"), request.attr("raw_url"), request.attr("route")
    if not route:  # between requests, or not routed yet
        return None
    key = ("sanic", request.address, request.attr("headers").address, url.address, url.text())
    path = route.attr("path").text()
    return Raw(
        WorkKind.REQUEST, key, method=method.text(16), path=url.text().partition("?")[0], route=f"/{path.lstrip('/')}"
    )


KIND = Kind("sanic", (At("sanic/http/http1.py", "Http.http1"),), read)

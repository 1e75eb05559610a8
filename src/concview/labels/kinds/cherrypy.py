"""CherryPy. What it calls for a path it finds by attributes: there is no template. Seen with 18.10."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    request = view.local("self")
    method, path, line = request.attr("method"), request.attr("path_info"), request.attr("request_line")
    if not method or not line:
        return None
    key = ("cherrypy", request.address, request.attr("headers").address, line.address, path.address, path.text())
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text())


KIND = Kind("cherrypy", (At("cherrypy/_cprequest.py", "Request.respond"),), read)

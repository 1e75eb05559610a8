"""werkzeug's own server, which `flask run` starts. Seen with 2.3 and 3.1."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    handler = view.local("self")
    environ, method, path = view.local("environ"), handler.attr("command"), handler.attr("path")
    if not method or not environ:
        return None
    key = ("werkzeug", handler.address, environ.address, handler.attr("headers").address, path.address, path.text())
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text())


KIND = Kind("werkzeug", (At("werkzeug/serving.py", "WSGIRequestHandler.run_wsgi"),), read)

"""werkzeug's own server, which `flask run` starts. Seen with 2.3 and 3.1."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._http import tells_apart
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    handler = view.local("self")
    environ, method, path = view.local("environ"), handler.attr("command"), handler.attr("path")
    if not method or not environ:
        return None
    apart = tells_apart(method.text(16), handler.attr("client_address").at(1), handler.attr("rfile"))
    key = (
        "werkzeug",
        apart,
        handler.address,
        environ.address,
        handler.attr("headers").address,
        path.address,
        path.text(),
    )
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text(), alike=apart is None)


KIND = Kind("werkzeug", (At("werkzeug/serving.py", "WSGIRequestHandler.run_wsgi"),), read)

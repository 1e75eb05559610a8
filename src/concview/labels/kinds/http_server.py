"""`http.server` of the standard library."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    # On a connection that is kept open, `command` and `path` are the last request's until the next one has been read.
    if not view.local("method"):
        return None
    handler = view.local("self")
    method, path, line = handler.attr("command"), handler.attr("path"), handler.attr("raw_requestline")
    key = (
        "http.server", handler.address, handler.attr("headers").address, handler.attr("requestline").address,
        line.address, path.address, path.text(),
    )  # fmt: skip
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text())


KIND = Kind("http.server", (At("http/server.py", "BaseHTTPRequestHandler.handle_one_request"),), read)

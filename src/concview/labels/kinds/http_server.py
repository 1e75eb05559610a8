"""`http.server` of the standard library."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._http import tells_apart
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    # On a connection that is kept open, `command` and `path` are the last request's until the next one has been read.
    if not view.local("method"):
        return None
    handler = view.local("self")
    method, path, line = handler.attr("command"), handler.attr("path"), handler.attr("raw_requestline")
    apart = tells_apart(method.text(16), handler.attr("client_address").at(1), handler.attr("rfile"))
    key = (
        "http.server", apart, handler.address, handler.attr("headers").address, handler.attr("requestline").address,
        line.address, path.address, path.text(),
    )  # fmt: skip
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text(), alike=apart is None)


KIND = Kind("http.server", (At("http/server.py", "BaseHTTPRequestHandler.handle_one_request"),), read)

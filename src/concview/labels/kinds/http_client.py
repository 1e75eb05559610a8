"""The standard library's clients: urllib.request, and http.client, which others use too. Seen with 3.8 to 3.15."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._http import host_of
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    request = view.local("req")
    if request:  # urllib's: http.client does not keep the path
        method, host, path = request.attr("method"), request.attr("host").text(260), request.attr("selector")
        named = method.text(16) or ("POST" if request.attr("_data") else "GET")
        key = ("http.client", request.address, request.attr("headers").address, path.address, path.text())
        return Raw(WorkKind.CALL, key, method=named, host=host_of(f"//{host}"), detail=path.text())
    connection = view.local("self")
    method, name, port = (
        connection.attr("_method"),
        connection.attr("host").text(253),
        connection.attr("port").integer(),
    )
    if not method or not name:
        return None
    name = f"[{name}]" if ":" in name else name
    shown = f"{name}:{port}" if port not in (-1, 80, 443) else name
    key = ("http.client", connection.address, connection.attr("sock").address, method.address, "")
    return Raw(WorkKind.CALL, key, method=method.text(16), host=shown)


KIND = Kind(
    "http.client",
    (At("urllib/request.py", "AbstractHTTPHandler.do_open"), At("http/client.py", "HTTPConnection.getresponse")),
    read,
)

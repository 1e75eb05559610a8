"""httpx, sync and async. Seen with 0.24 and 0.28."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    request = view.local("request")
    method, url = request.attr("method"), request.attr("url", "_uri_reference")
    if not method:
        return None
    # A named tuple: scheme, user, host, port, path, query, fragment
    port = url.at(3).integer()
    host = url.at(2).text(253)
    shown = f"{host}:{port}" if port >= 0 else host
    key = ("httpx", request.address, request.attr("headers").address, url.address)
    return Raw(WorkKind.CALL, key, method=method.text(16), host=shown, detail=url.at(4).text())


KIND = Kind("httpx", (At("httpx/_client.py", "Client.send"), At("httpx/_client.py", "AsyncClient.send")), read)

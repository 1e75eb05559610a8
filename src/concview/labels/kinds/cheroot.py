"""cheroot, CherryPy's server. Seen with 11."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    request = view.local("self")
    method, path = request.attr("method"), request.attr("path")
    if not method:
        return None
    # The connection is put back after each request, and notes when.
    connection = request.attr("conn")
    port, used = connection.attr("remote_port").integer(), connection.attr("last_used").float()
    apart = (port, used) if port > 0 else None
    key = ("cheroot", apart, request.address, request.attr("inheaders").address, path.address, path.text())
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text(), alike=apart is None)


KIND = Kind("cheroot", (At("cheroot/server.py", "HTTPRequest.respond"),), read)

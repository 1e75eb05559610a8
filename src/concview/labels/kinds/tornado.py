"""tornado's request handlers, by their class: it keeps no template. Seen with 6.1 and 6.6."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    handler = view.local("self")
    request = handler.attr("request")
    method, path, started = request.attr("method"), request.attr("path"), request.attr("_start_time")
    if not method:
        return None
    key = ("tornado", request.address, request.attr("headers").address, started.address, path.address, path.text())
    return Raw(
        WorkKind.REQUEST,
        key,
        method=method.text(16),
        path=path.text(),
        handler=handler.type,
        wall_s=started.float() or 0.0,
    )


KIND = Kind("tornado", (At("tornado/web.py", "RequestHandler._execute"),), read)

"""aiohttp's server, with the template of the resource that its router chose. Seen with 3.8 and 3.14."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    request = view.local("request")
    method, message = request.attr("_method"), request.attr("_message")
    if not method:
        return None
    resource = request.attr("_match_info", "_route", "_resource")
    route = (resource.attr("_formatter") or resource.attr("_path")).text()
    path = request.attr("_rel_url").attr("_path").text() or message.at(1).text()
    started = view.local("start_time")
    key = ("aiohttp", request.address, message.address, started.address, path)
    # The loop's clock is CLOCK_MONOTONIC, also uvloop's, which keeps milliseconds.
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path, route=route, started_s=started.float() or 0.0)


KIND = Kind("aiohttp", (At("aiohttp/web_protocol.py", "RequestHandler._handle_request"),), read)

"""requests, and niquests, which is made after it. Seen with 2.28 and 2.34; 3.21."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._http import host_of
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    request = view.local("request")
    method, url = request.attr("method"), request.attr("url")
    if not method:
        return None
    text = url.text()
    key = ("requests", request.address, request.attr("headers").address, url.address, text)
    return Raw(WorkKind.CALL, key, method=method.text(16), host=host_of(text), detail=text)


KIND = Kind(
    "requests",
    (
        At("requests/sessions.py", "Session.send"),
        At("niquests/sessions.py", "Session.send"),
        At("niquests/async_session.py", "AsyncSession.send"),
    ),
    read,
)

"""Flask's application, with the rule that its router chose. Seen with 2.3, 3.0 and 3.1."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    context = view.local("ctx")
    request = context.attr("request") or context.attr("_request")
    method = request.attr("method")
    if not method:
        return None
    path = request.attr("path")
    key = ("flask", context.address, request.address, request.attr("environ").address, path.address, path.text())
    return Raw(
        WorkKind.REQUEST,
        key,
        method=method.text(16),
        path=path.text(),
        route=request.attr("url_rule", "rule").text(),
    )


KIND = Kind("flask", (At("flask/app.py", "Flask.wsgi_app"),), read)

"""Django's handlers, under WSGI and ASGI, with the route that its resolver matched. Seen with 4.2, 5.2 and 6.1."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    request = view.local("request")
    method, path = request.attr("method"), request.attr("path")
    if not method:
        return None
    made_of = request.attr("META")
    matched = request.attr("resolver_match", "route")
    # That of the site's root is empty, once it has been matched.
    route = matched.text() or "/" if matched else ""
    key = ("django", request.address, made_of.address, path.address, path.text())
    # Django writes routes without the leading slash.
    shown = route if not route or route.startswith(("/", "^")) else f"/{route}"
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text(), route=shown)


_BASE = "django/core/handlers/base.py"
KIND = Kind(
    "django",
    (
        At(_BASE, "BaseHandler.get_response"),
        At(_BASE, "BaseHandler.get_response_async"),
        At(_BASE, "BaseHandler._get_response"),
        At(_BASE, "BaseHandler._get_response_async"),
    ),
    read,
)

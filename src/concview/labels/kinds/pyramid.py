"""Pyramid, with the pattern of the route that matched. Seen with 1.10 and 2.1."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._wsgi import of_environ


def read(view: View) -> Raw | None:
    pattern = view.local("route").attr("pattern").text()
    route = pattern if not pattern or pattern.startswith("/") else f"/{pattern}"
    return of_environ(view.local("request").attr("environ"), route)


KIND = Kind("pyramid", (At("pyramid/router.py", "Router.handle_request"),), read)

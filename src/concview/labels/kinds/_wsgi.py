"""The environ of a WSGI request, which servers make and frameworks keep."""

from __future__ import annotations

from concview.labels.access import Ref
from concview.labels.base import Raw
from concview.model import WorkKind


def of_environ(environ: Ref, route: str = "", started_s: float = 0.0) -> Raw | None:
    """None where it is none, or not filled yet."""
    method, path = environ.item("REQUEST_METHOD"), environ.item("PATH_INFO")
    if not method:
        return None
    key = ("wsgi", environ.address, method.address, environ.item("wsgi.input").address, path.address, path.text())
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text(), route=route, started_s=started_s)

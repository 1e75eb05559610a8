"""Any ASGI application, by what such functions are called with: `(scope, receive, send)`. Whatever the server is."""

from __future__ import annotations

from concview.labels.base import Kind, Raw, View
from concview.labels.kinds._asgi import of_scope


def read(view: View) -> Raw | None:
    return of_scope(view.local("scope"))


KIND = Kind("asgi", (), read, arguments=("scope", "receive", "send"))

"""Any WSGI application, by what such functions are called with: `(environ, start_response)`. Whatever the server is."""

from __future__ import annotations

from concview.labels.base import Kind, Raw, View
from concview.labels.kinds._wsgi import of_environ


def read(view: View) -> Raw | None:
    return of_environ(view.local("environ"))


KIND = Kind("wsgi", (), read, arguments=("environ", "start_response"))

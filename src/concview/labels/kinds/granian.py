"""granian: its server is made in Rust; the frame is that of the function which it calls. Seen with 2.8."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._asgi import of_scope
from concview.labels.kinds._wsgi import of_environ


def read(view: View) -> Raw | None:
    environ = view.local("environ")
    return of_environ(environ) if environ else of_scope(view.local("scope"))


KIND = Kind(
    "granian",
    (
        At("granian/wsgi.py", "_callback_wrapper.<locals>._runner"),
        At("granian/asgi.py", "_callback_wrapper.<locals>._http_logger"),
    ),
    read,
)

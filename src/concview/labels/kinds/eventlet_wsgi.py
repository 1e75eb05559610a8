"""eventlet's own server, whose requests are greenlets. Seen with 0.41."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._wsgi import of_environ


def read(view: View) -> Raw | None:
    found = of_environ(view.local("self").attr("environ"))
    if found is not None:
        found.wall_s = view.local("start").float() or 0.0
    return found


KIND = Kind("eventlet", (At("eventlet/wsgi.py", "HttpProtocol.handle_one_response"),), read)

"""gevent's own server, whose requests are greenlets. Seen with 26.9."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._wsgi import of_environ


def read(view: View) -> Raw | None:
    handler = view.local("self")
    found = of_environ(handler.attr("environ"))
    if found is not None:
        found.wall_s = handler.attr("time_start").float() or 0.0
    return found


KIND = Kind("gevent", (At("gevent/pywsgi.py", "WSGIHandler.handle_one_response"),), read)

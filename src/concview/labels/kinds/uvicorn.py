"""uvicorn. Seen with 0.24 and 0.54."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._asgi import of_scope


def read(view: View) -> Raw | None:
    cycle = view.local("self")
    return of_scope(cycle.attr("scope"), after=cycle.attr("response_complete").truth())


_HTTP = "uvicorn/protocols/http/"
_WEBSOCKETS = "uvicorn/protocols/websockets/"
KIND = Kind(
    "uvicorn",
    (
        *(At(f"{_HTTP}{n}_impl.py", "RequestResponseCycle.run_asgi") for n in ("h11", "httptools")),
        At(f"{_WEBSOCKETS}websockets_impl.py", "WebSocketProtocol.run_asgi"),
        At(f"{_WEBSOCKETS}wsproto_impl.py", "WSProtocol.run_asgi"),
    ),
    read,
)

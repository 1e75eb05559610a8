"""hypercorn. Seen with 0.17."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._asgi import of_scope


def read(view: View) -> Raw | None:
    return of_scope(view.local("scope"))


KIND = Kind(
    "hypercorn",
    (
        At("hypercorn/asyncio/task_group.py", "_handle"),
        At("hypercorn/trio/task_group.py", "_handle"),
        At("hypercorn/app_wrappers.py", "WSGIWrapper.handle_http"),
    ),
    read,
)

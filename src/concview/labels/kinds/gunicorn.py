"""gunicorn's workers: sync, gthread, and those on greenlets. Seen with 21.2 and 27.0."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._clocks import local_time
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    request = view.local("req")
    method, path = request.attr("method"), request.attr("path")
    if not method:
        return None
    started = view.local("request_start")
    key = ("gunicorn", request.address, request.attr("headers").address, path.address, path.text(), started.address)
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text(), local=local_time(started))


KIND = Kind(
    "gunicorn",
    (
        At("gunicorn/workers/sync.py", "SyncWorker.handle_request"),
        At("gunicorn/workers/gthread.py", "ThreadWorker.handle_request"),
        At("gunicorn/workers/base_async.py", "AsyncWorker.handle_request"),
    ),
    read,
)

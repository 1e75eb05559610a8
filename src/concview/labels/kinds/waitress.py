"""waitress. Seen with 2.1 and 3.0."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    task = view.local("self")
    request, started = task.attr("request"), task.attr("start_time")
    method, path = request.attr("command"), request.attr("path")
    if not method:
        return None
    key = ("waitress", task.address, request.address, started.address, path.address, path.text())
    return Raw(WorkKind.REQUEST, key, method=method.text(16), path=path.text(), wall_s=started.float() or 0.0)


KIND = Kind("waitress", (At("waitress/task.py", "WSGITask.execute"),), read)

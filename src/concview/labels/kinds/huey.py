"""huey's tasks. Seen with 3.0."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    task = view.local("task")
    id_, name = task.attr("id"), task.attr("name")
    if not id_:
        return None
    started = view.local("start")
    key = ("huey", task.address, id_.address, id_.text(64))
    return Raw(WorkKind.JOB, key, name=name.text() or task.type, id=id_.text(64), started_s=started.float() or 0.0)


KIND = Kind("huey", (At("huey/api.py", "Huey._execute"),), read)

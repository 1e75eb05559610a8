"""celery's tasks, in whichever pool. Seen with 5.2, 5.4 and 5.7."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    uuid, name = view.local("uuid"), view.local("name")
    if not uuid:
        return None
    started = view.local("time_start")
    request = view.local("task_request")
    key = ("celery", uuid.address, uuid.text(64), request.address)
    shown = name.text() or request.attr("task").text()
    return Raw(WorkKind.JOB, key, name=shown, id=uuid.text(64), started_s=started.float() or 0.0)


KIND = Kind("celery", (At("celery/app/trace.py", "build_tracer.<locals>.trace_task"),), read)

"""procrastinate's jobs. Seen with 3.10."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    job = view.local("job") or view.local("context").attr("job")
    name, id_ = job.attr("task_name"), job.attr("id")
    if not name:
        return None
    number = id_.integer()
    key = ("procrastinate", job.address, name.address, number, job.attr("task_kwargs").address)
    return Raw(WorkKind.JOB, key, name=name.text(200))


KIND = Kind(
    "procrastinate",
    (At("procrastinate/worker.py", "Worker._process_job"), At("procrastinate/worker.py", "Worker.run_job")),
    read,
)

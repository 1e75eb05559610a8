"""APScheduler's jobs. Seen with 3.11."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    job, moment = view.local("job"), view.local("run_time")
    id_, function = job.attr("id"), job.attr("func_ref")
    if not id_:
        return None
    key = ("apscheduler", job.address, moment.address, id_.text(200))
    return Raw(WorkKind.JOB, key, name=function.text(), id=id_.text(200))


_BASE = "apscheduler/executors/base.py"
KIND = Kind("apscheduler", (At(_BASE, "run_job"), At(_BASE, "run_coroutine_job")), read)

"""APScheduler's jobs. Seen with 3.10, 3.11 and 4.0 (alpha)."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._clocks import utc_time
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    job, moment = view.local("job"), view.local("run_time")
    task = job.attr("task_id")
    if task:  # 4.x: what it calls a task is what it was told to run
        key: tuple[object, ...] = ("apscheduler", job.address, job.attr("id").address, task.text())
        return Raw(WorkKind.JOB, key, name=task.text(), wall_s=utc_time(view.local("start_time")))
    id_, function = job.attr("id"), job.attr("func_ref")
    if not id_:
        return None
    key = ("apscheduler", job.address, moment.address, id_.text(200))
    return Raw(WorkKind.JOB, key, name=function.text(), id=id_.text(200))


_BASE = "apscheduler/executors/base.py"
_NEW = "apscheduler/_schedulers/async_.py"
KIND = Kind(
    "apscheduler",
    (At(_BASE, "run_job"), At(_BASE, "run_coroutine_job"), At(_NEW, "AsyncScheduler._run_job")),
    read,
)

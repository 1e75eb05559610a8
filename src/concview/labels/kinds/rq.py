"""rq's jobs, in the process that runs one. Seen with 3.0."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.labels.kinds._clocks import utc_time
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    job = view.local("self")
    id_, name = job.attr("_id"), job.attr("_func_name")
    if not id_:
        return None
    started = utc_time(job.attr("started_at"))
    return Raw(
        WorkKind.JOB,
        ("rq", job.address, id_.address, id_.text(200)),
        name=name.text(),
        id=id_.text(200),
        wall_s=started,
    )


KIND = Kind("rq", (At("rq/job.py", "Job.perform"),), read)

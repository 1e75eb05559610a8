"""saq's jobs. Seen with 0.26."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    job = view.local("job")
    name, id_ = job.attr("function"), job.attr("key")
    started = job.attr("started").integer()  # milliseconds; 0 until it is begun
    if not name or started <= 0:
        return None
    key = ("saq", job.address, id_.address, id_.text(64), started)
    return Raw(WorkKind.JOB, key, name=name.text(), id=id_.text(64), wall_s=started / 1000)


KIND = Kind("saq", (At("saq/worker.py", "Worker.process"),), read)

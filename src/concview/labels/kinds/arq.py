"""arq's jobs. Seen with 0.28."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    id_, name, started = view.local("job_id"), view.local("function_name"), view.local("start_ms").integer()
    if not id_ or name.text(16) in ("", "<unknown>"):  # it has not been read from the queue
        return None
    key = ("arq", view.local("self").address, id_.address, id_.text(64), started)
    wall = started / 1000 if started > 0 else 0.0
    return Raw(WorkKind.JOB, key, name=name.text(), id=id_.text(64), wall_s=wall)


KIND = Kind("arq", (At("arq/worker.py", "Worker.run_job"),), read)

"""taskiq's tasks. Seen with 0.12."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    message = view.local("message")
    id_, name = message.attr("task_id"), message.attr("task_name")
    if not id_:
        return None
    key = ("taskiq", message.address, id_.address, id_.text(64))
    return Raw(WorkKind.JOB, key, name=name.text(), id=id_.text(64))


KIND = Kind("taskiq", (At("taskiq/receiver/receiver.py", "Receiver.run_task"),), read)

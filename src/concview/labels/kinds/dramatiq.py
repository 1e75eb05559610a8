"""dramatiq's messages. Seen with 2.2; 1.x calls the class _WorkerThread."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    message = view.local("message").attr("_message")
    id_, name = message.attr("message_id"), message.attr("actor_name")
    if not message:
        return None
    if message.type == "Message" and not id_:  # 1.x: a named tuple
        name, id_ = message.at(1), message.at(5)
    return Raw(
        WorkKind.JOB, ("dramatiq", message.address, id_.address, id_.text(64)), name=name.text(), id=id_.text(64)
    )


KIND = Kind(
    "dramatiq",
    (
        At("dramatiq/worker.py", "WorkerThread.process_message"),
        At("dramatiq/worker.py", "_WorkerThread.process_message"),
    ),
    read,
)

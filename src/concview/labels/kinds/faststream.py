"""FastStream's subscribers (Kafka, RabbitMQ, NATS, Redis): the function that handles a message. Seen with 0.7;
the names up to 0.6 are as its source has them."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    handler, message = view.local("self").attr("handler"), view.local("message")
    function = handler.attr("_declared_call") or handler.attr("_original_call")
    id_ = message.attr("message_id")
    if not function or not id_:
        return None
    key = ("faststream", message.address, message.attr("headers").address, id_.address, id_.text(64))
    return Raw(WorkKind.JOB, key, name=function.function_name(), id=id_.text(64))


KIND = Kind(
    "faststream",
    tuple(
        At(f"faststream/{folder}/subscriber/call_item.py", "HandlerItem.call")
        for folder in ("_internal/endpoint", "_internal", "broker")
    ),
    read,
)

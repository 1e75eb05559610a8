"""aiogram's handlers of updates. Seen with 3.31."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    handler, event = view.local("self"), view.local("args").at(0)
    if handler.type != "HandlerObject" or not event:  # filters are called by the same function
        return None
    update = view.local("kwargs").item("event_update")
    if not update:  # the dispatcher's own handler of all updates
        return None
    number = update.attr("update_id").integer()
    key = ("aiogram", update.address, event.address, number)
    id_ = str(number) if number > 0 else ""
    return Raw(WorkKind.JOB, key, name=handler.attr("callback").function_name(), id=id_)


KIND = Kind("aiogram", (At("aiogram/dispatcher/event/handler.py", "CallableObject.call"),), read)

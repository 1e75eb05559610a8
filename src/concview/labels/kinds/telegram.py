"""python-telegram-bot's handlers of updates. Seen with 22.8; the names up to 13 are as its
source has them."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    function, update = view.local("self").attr("callback"), view.local("update")
    number = update.attr("update_id").integer()
    if not function or not update:
        return None
    key = ("telegram", update.address, function.address, view.local("context").address, number)
    return Raw(WorkKind.JOB, key, name=function.function_name(), id=str(number) if number > 0 else "")


KIND = Kind(
    "telegram",
    (
        At("telegram/ext/_handlers/basehandler.py", "BaseHandler.handle_update"),
        At("telegram/ext/_basehandler.py", "BaseHandler.handle_update"),
        At("telegram/ext/handler.py", "Handler.handle_update"),
    ),
    read,
)

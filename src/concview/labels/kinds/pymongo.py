"""pymongo, sync and async: the command and its collection. Seen with 4.20, against a small
server that speaks its wire protocol."""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    operation = view.local("operation")
    if operation:  # a cursor's, up to 4.16: an object that makes the command later
        name, collection = operation.attr("name"), operation.attr("coll")
        if not name:
            return None
        key: tuple[object, ...] = ("pymongo", operation.address, name.address, collection.address)
        return Raw(WorkKind.QUERY, key, command=name.text(40), name=collection.text(120))
    document = view.local("cmd") or view.local("spec")
    first, value = document.first()
    if not first:
        return None
    connection = view.local("conn") or view.local("sock_info") or view.local("self")
    key = ("pymongo", connection.address, document.address, value.address)
    # 'getMore' has the cursor's number there and its collection behind.
    collection = value if value.text(1) else document.item("collection")
    return Raw(WorkKind.QUERY, key, command=first.text(40), name=collection.text(120))


_NEW, _NEW_ASYNC = "pymongo/synchronous/", "pymongo/asynchronous/"
KIND = Kind(
    "pymongo",
    (
        *(At(f"{d}command_runner.py", "_run_command") for d in (_NEW, _NEW_ASYNC)),
        *(At(f"{d}network.py", "command") for d in (_NEW, _NEW_ASYNC)),
        *(At(f"{d}server.py", "Server.run_operation") for d in (_NEW, _NEW_ASYNC)),
        At("pymongo/network.py", "command"),
        At("pymongo/server.py", "Server.run_operation"),
    ),
    read,
)

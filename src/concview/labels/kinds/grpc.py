"""gRPC: the method that a client calls, and the function with which a server answers. Seen with 1.85.

Neither is in a frame of grpc.aio: its calls are made in Cython.
"""

from __future__ import annotations

from concview.labels.base import At, Kind, Raw, View
from concview.model import WorkKind


def read(view: View) -> Raw | None:
    behaviour = view.local("behavior")
    if behaviour:
        event, state = view.local("rpc_event"), view.local("state")
        request = ("grpc", event.address, state.address, view.local("argument").address)
        return Raw(WorkKind.REQUEST, request, method="RPC", handler=behaviour.function_name())
    caller = view.local("self")
    method = caller.attr("_method")
    if not method:
        return None
    key = ("grpc", caller.address, method.address, view.local("request").address, view.local("state").address)
    return Raw(WorkKind.CALL, key, method="RPC", rpc=method.text(200), host=caller.attr("_target").text(260))


_CLIENT = "grpc/_channel.py"
KIND = Kind(
    "grpc",
    (
        At(_CLIENT, "_UnaryUnaryMultiCallable._blocking"),
        At(_CLIENT, "_StreamUnaryMultiCallable._blocking"),
        At("grpc/_server.py", "_call_behavior"),
    ),
    read,
)

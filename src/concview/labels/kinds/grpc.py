"""gRPC: the method that a client calls, and the function with which a server answers. Seen with 1.85.

Most of grpc.aio is Cython, which has no frames: of its client it is seen that a task waits for a call, not for which;
of its server nothing, for a task of Cython's own coroutine shows no frame.
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
    if not view.local("request") and caller.attr("_cython_call"):  # grpc.aio's client
        call = ("grpc", caller.address, caller.attr("_cython_call").address, caller.attr("_request").address)
        return Raw(WorkKind.CALL, call, method="RPC")
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
        At("grpc/aio/_call.py", "_UnaryResponseMixin.__await__"),
        At("grpc/_server.py", "_call_behavior"),
    ),
    read,
)

"""A message over a connection that a thread of the library's reads: websockets' recv() takes it out of a queue.

Of a server it is a request that has not come. Of a client it may be an answer, or news: nobody of this process is in
the way of either, and nothing is kept by it but the thread itself.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Root
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import Places, among, places
from concview.model import Stack, WaitKind

#: Calls that wait for a message, and functions below which a library serves a connection. Source: websockets 13 to 16,
#: grpcio 1, as of 2026.
_MESSAGES = places(
    ("websockets/sync/connection.py", "recv recv_streaming"),
    ("grpc/_channel.py", "_blocking _next result exception code details initial_metadata trailing_metadata"),
    ("grpc/_server.py", "_next"),
)
#: A connection that a library's C code makes, trying again and again.
_CONNECTS = places(("grpc/_utilities.py", "_block result"))
_SERVES = places(
    ("websockets/sync/server.py", "sock_handler conn_handler"), ("flask_sock/__init__.py", "websocket_route"),
    ("grpc/_server.py", "_next"),
)  # fmt: skip


def _in(stack: Stack, rows: dict[str, tuple[Places, ...]], own: bool) -> bool:
    """Whether one of these is on the stack; `own`: also behind code of the program."""
    for frame in stack.frames:
        if frame.origin == "user" and not own:
            return False
        if among(frame, rows):
            return True
    return False


class Message:
    order: ClassVar[int] = 37
    fixed: ClassVar[bool] = True

    def applies(self, look: Look) -> bool:
        if look.wait.kind is not WaitKind.FUTEX:
            return False
        return _in(look.stack, _MESSAGES, own=False) or _in(look.stack, _CONNECTS, own=False)

    def follow(self, waiter: Waiter) -> Root:
        if _in(waiter.look.stack, _SERVES, own=True):
            return waiter.end(End.IDLE, "waits for a message of a client")
        if _in(waiter.look.stack, _CONNECTS, own=False):
            return waiter.end(End.PEER, "a gRPC channel to be connected, which its C core tries for")
        return waiter.end(End.PEER, "a message of the other end")


KIND = Message()

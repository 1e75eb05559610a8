"""Connections that the kernel has made and nobody has accepted yet."""

from __future__ import annotations

import msgspec

from concview.model.events import Event
from concview.model.relations import User


class AcceptQueue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A socket of the process that listens. `users`: threads whose frames refer to it, looked for where somebody has
    waited there for a second: see `User`."""

    inode: int
    kind: str  #: 'tcp', 'unix'
    name: str  #: '127.0.0.1:8000', '/run/app.sock', '@name' in the abstract name space
    fds: tuple[int, ...]
    waiting: int  #: connections in the queue
    most: int = -1  #: the queue is full where `waiting` is above this, the argument of `listen`; -1 not told
    refused: int = -1  #: attempts that were turned away since the first look, for the queue was full; -1 not told
    since_ns: int = 0  #: when the oldest of those that wait was seen first; 0 nobody waits, or it cannot be told
    before: bool = False  #: it was there before anybody looked
    epolls: tuple[int, ...] = ()  #: epolls of the process that watch it: event loops accept there
    shared: tuple[int, ...] = ()  #: other processes that have it, where that was looked for
    users: tuple[User, ...] = ()


class AcceptQueues(Event, frozen=True, tag=43):
    """All of them, where something has changed; while somebody waits, at each look, twice a second."""

    at_ns: int
    queues: tuple[AcceptQueue, ...]
    why: str = ""  #: why nothing can be told; '' when it can

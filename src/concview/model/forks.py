"""Copies of the process: children forked while it had threads, and not replaced by exec."""

from __future__ import annotations

import msgspec

from concview.model.events import Event

#: A copy this old, when it is looked at, stays one: on a busy machine it may take a while from fork to exec.
SETTLED_NS = 2_000_000_000


class ForkedChild(msgspec.Struct, frozen=True, array_like=True):
    """A child that is a copy of the target: forked while the target had other threads, and not replaced by exec."""

    pid: int
    started_ns: int  #: monotonic, to 10 ms
    others: int  #: threads that the target had besides the one that forked, and still has
    threads: int  #: of the child
    stuck_ns: int  #: since when all of them wait, without a timeout, for something inside the child; 0 when not
    stack: int = 0  #: of its main thread, the line that forked included; id of a StackDef, 0 not known


class Forks(Event, frozen=True, tag=19):
    """Written when something has changed. `total`: such children so far, ended ones included."""

    at_ns: int
    total: int
    children: tuple[ForkedChild, ...]
    why: str = ""  #: why it cannot be told; empty when it can
    enable: str = ""

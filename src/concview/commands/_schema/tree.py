"""Several processes, and who waits for whom across them."""

from __future__ import annotations

import msgspec

from concview.commands._schema.blame import BlameOut
from concview.commands._schema.process import ProcessOut, SamplingOut, TargetOut


class ProcessPartOut(msgspec.Struct):
    """One of several processes. With `start_ticks` its pid names it for ever; `parent`: the nearest Python process
    above it, 0 for those that were given. `role`: 'program', 'worker'."""

    pid: int
    start_ticks: int
    parent: int
    role: str
    name: str
    ended: bool
    late: bool  #: it came while the others were watched already
    target: TargetOut
    sampling: SamplingOut
    process: ProcessOut
    ending: str
    blame: BlameOut | None


class NodeOut(msgspec.Struct):
    """A thread of one of several processes; `tid` 0: which one is not known."""

    pid: int
    tid: int


class AcrossOut(msgspec.Struct):
    """A thread that waits for one of another process. `via`: 'lock', 'child', 'pipe', 'tcp', 'unix', 'file lock'."""

    waiter: NodeOut
    holder: NodeOut
    via: str
    what: str
    does: str  #: what the holder does
    confidence: str
    timed: bool  #: the wait has a time limit


class OrphanOut(msgspec.Struct):
    """A lock of multiprocessing that is taken, and that none of the processes has. `sure`: no other process shares it,
    so whoever took it has died."""

    what: str
    why: str
    sure: bool
    waiters: list[NodeOut]

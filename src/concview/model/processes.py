"""A recording of several processes: who they are, and which of them a block is of."""

from __future__ import annotations

from concview.model.events import Event
from concview.model.workers import Role


class ProcessDef(Event, frozen=True, tag=37):
    """One process of the recording; in a block of its own, before the first block that is of it."""

    number: int  #: from 1 on
    at_ns: int
    pid: int
    start_ticks: int  #: field 22 of /proc/PID/stat: with it the pid names the process for ever
    parent: int  #: the nearest Python process above it; 0 for those that were given
    role: Role
    name: str  #: 'worker 2', 'app.py'
    late: bool = False  #: it came while the others were watched already
    why: str = ""  #: why it could not be watched: no block is of it


class Of(Event, frozen=True, tag=40):
    """First of a block: what follows in it is of this process, a stream as if it were alone."""

    number: int

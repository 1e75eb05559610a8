"""What rules have found, and which could not judge."""

from __future__ import annotations

import msgspec

from concview.commands._schema.threads import SiteOut


class MeasuredOut(msgspec.Struct):
    name: str
    value: float
    info: float
    warn: float
    unit: str


class StackOut(msgspec.Struct):
    role: str
    tid: int
    frames: list[str]
    task: int | None = None  #: id of the task whose await chain it is; `tid` is 0 then
    name: str = ""


class ServedOut(msgspec.Struct):
    """In whose name threads or tasks did something."""

    kind: str  #: 'request', 'job', 'query', 'call'
    name: str
    threads: int  #: threads and tasks that served it most of that time
    thread_s: float  #: of all together


class FindingOut(msgspec.Struct):
    id: str
    severity: str
    score: int
    confidence: str
    title: str
    summary: str
    why: str
    fix: str
    measured: MeasuredOut
    where: list[SiteOut]
    threads: list[int]
    stacks: list[StackOut]
    #: It fired while the process was watched, and no longer did at the end.
    recent: bool = False
    gain: str = ""  #: what could be won, with its assumption
    check_next: str = ""
    tasks: list[int] = []
    pid: int = 0  #: of several processes: of the one in which it is worst
    pids: list[int] = []  #: all that have it
    work: list[ServedOut] = []  #: in whose name its threads and tasks are at these places


class PendingOut(msgspec.Struct):
    id: str
    needs: str
    subject: str = ""  #: what it is about, when a rule judges several things


class NotApplicableOut(msgspec.Struct):
    id: str
    why: str
    enable: str

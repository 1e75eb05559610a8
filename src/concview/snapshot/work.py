"""Requests, jobs, queries in progress."""

from __future__ import annotations

from concview.model import State, WorkKind
from concview.snapshot.base import Shares, View


class WorkView(View, frozen=True):
    """One request, job, query or call in progress."""

    id: int
    kind: WorkKind
    system: str  #: the library that told it
    name: str  #: 'GET /orders/{id}'; '' where nothing of it may be told, or is known
    missing: str  #: what of its name is not known: 'route', 'statement', 'name', 'host'; '' nothing
    trace: str  #: of a job its id, of a span the trace's; '' none that a library made
    detail: str  #: with labels = "full" only
    age_s: float
    exact: bool  #: the age is since a beginning that was read; else since it was first seen
    before: bool  #: not exact, and it was there before anybody looked: it is older by an unknown time
    threads: tuple[int, ...]
    tasks: tuple[int, ...]
    doing: str  #: what its thread or task does or waits for, and who is in its way
    state: State  #: of its thread; UNKNOWN where tasks work on it, or it cannot be told
    inside: int = 0  #: id of the work that it is a part of
    parts: tuple[int, ...] = ()  #: ids of what it consists of now
    after: bool = False  #: a request whose response has been sent
    #: Who is in its way in the words of work: 'waits for pool, ..., had by POST /reports, which has run SELECT ... for
    #: 29 s'; '' where nobody is.
    because: str = ""
    behind: tuple[int, ...] = ()  #: ids of the work in its way, the nearest first, as far as it is known
    otel_trace: str = ""  #: ids of OpenTelemetry's trace and span in which it runs, hexadecimal; '' none is known
    otel_span: str = ""
    #: Its age is at least this, and `age_s` at most: who works on it has run meanwhile, and another one like it would
    #: look the same. None: its age is `age_s`.
    least_s: float | None = None

    @property
    def sure_s(self) -> float:
        """How old it is surely."""
        return self.age_s if self.least_s is None else self.least_s


class RouteView(View, frozen=True):
    """Work of one name over the window. `p50_s`, `p95_s` of those that ended in it; None: none did."""

    kind: WorkKind
    system: str
    name: str
    missing: str
    seen: int  #: different ones, as far as looks saw them: those that are shorter than a look may not be among them
    in_flight: float  #: on average
    p50_s: float | None
    p95_s: float | None
    exact: bool  #: these are since beginnings that were read
    shares: Shares  #: of the time of its threads
    tasks_share: float  #: of its time, the part in which no thread but a task worked on it


class WorkTotal(View, frozen=True):
    """Work of one name since the beginning, as far as looks saw it; or of all names without a place of their own
    (`name` is 'other', `system` is ''). What is here only grows, while the name is here."""

    kind: WorkKind
    system: str
    name: str
    missing: str
    seen: int  #: different ones
    over: int  #: how many were seen to end
    over_s: float  #: how long those lasted, together
    busy_s: float  #: how long all of them were in flight, together
    states_s: tuple[float, ...]  #: seconds of their threads, by state
    tasks_s: float  #: for which tasks worked on them, and no thread


class WorkSummary(View, frozen=True):
    """In whose name threads and tasks work. `mode`: 'safe', 'full'."""

    mode: str
    now: tuple[WorkView, ...] = ()  #: oldest first
    routes: tuple[RouteView, ...] = ()  #: busiest first
    seconds: float = 0.0  #: of the window that `routes` are of
    looked: int = 0  #: threads and tasks
    unknown: int = 0  #: of these, those that moved while they were read: nothing is known of them
    torn: int = 0
    more: int = 0  #: in progress, and left out
    systems: tuple[str, ...] = ()  #: libraries that it knows and has seen in a stack
    totals: tuple[WorkTotal, ...] = ()  #: where they are wanted
    read_s: float = 0.0  #: how long ago that was read

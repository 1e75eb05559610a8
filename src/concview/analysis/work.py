"""What was in progress in whose name, over the last while: requests, jobs, queries, calls.

Reports hold until the next one. Labels are kept as they are, not by their numbers, which a `Forget` makes void.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from concview.analysis.records import ThreadHistory
from concview.model import Label, State, Work, WorkKind

#: Reports are kept so long, and no more than so many.
KEPT_NS, REPORTS = 20_000_000_000, 128


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of work at one moment, as in `WorkItem`."""

    id: int
    label: Label
    seen_ns: int
    started_ns: int
    threads: tuple[int, ...]
    tasks: tuple[int, ...]
    inside: int
    before: bool
    trace: str = ""
    span: str = ""

    @property
    def begin_ns(self) -> int:
        return self.started_ns or self.seen_ns


@dataclass(frozen=True, slots=True)
class Report:
    """All that was in progress from `at_ns` until the next report, oldest first."""

    at_ns: int
    pieces: tuple[Piece, ...]
    looked: int = 0
    unknown: int = 0
    torn: int = 0
    more: int = 0
    systems: tuple[str, ...] = ()


KINDS = {
    WorkKind.REQUEST: "request",
    WorkKind.JOB: "job",
    WorkKind.QUERY: "query",
    WorkKind.CALL: "call",
    WorkKind.SPAN: "span",
}


class Called(Protocol):
    """What has a name as work: a label, and what views make of it."""

    @property
    def kind(self) -> WorkKind: ...
    @property
    def name(self) -> str: ...
    @property
    def missing(self) -> str: ...


def title(view: Called) -> str:
    """What a piece of work is called, and what of that is not known: 'GET (route not known)'."""
    name = view.name or KINDS[view.kind]
    return f"{name} ({view.missing} not known)" if view.missing else name


class WorkHistory:
    """The reports of the last while."""

    def __init__(self) -> None:
        self.reports: deque[Report] = deque(maxlen=REPORTS)

    def add(self, event: Work, labels: Mapping[int, Label]) -> None:
        pieces = [
            Piece(i.id, label, i.seen_ns, i.started_ns, i.threads, i.tasks, i.inside, i.before, i.trace, i.span)
            for i in event.items
            if (label := labels.get(i.label)) is not None
        ]
        self.seed(
            Report(event.at_ns, tuple(pieces), event.threads, event.unknown, event.torn, event.more, event.systems)
        )

    def seed(self, report: Report | None) -> None:
        """Put one in as it is."""
        if report is None or (self.reports and report.at_ns <= self.reports[-1].at_ns):
            return
        self.reports.append(report)
        while len(self.reports) > 2 and self.reports[1].at_ns < report.at_ns - KEPT_NS:
            self.reports.popleft()

    @property
    def now(self) -> Report | None:
        """None before the first: whoever wrote the stream does not tell of work, or has not come to it."""
        return self.reports[-1] if self.reports else None

    def between(self, start_ns: int, end_ns: int) -> list[tuple[Report, int, int]]:
        """Reports with the part of the interval for which each holds: (report, from, to)."""
        every = list(self.reports)
        found = []
        for i, report in enumerate(every):
            begin = max(start_ns, report.at_ns)
            end = min(end_ns, every[i + 1].at_ns if i + 1 < len(every) else end_ns)
            if end > begin:
                found.append((report, begin, end))
        return found


# ---------------------------------------------------------------------- over a window


@dataclass(slots=True)
class Route:
    """All pieces of work of one name in a window."""

    kind: WorkKind
    system: str
    name: str
    missing: str
    seen: int = 0  #: different ones
    busy_ns: int = 0  #: all of them together
    ended: list[float] = field(default_factory=list)  #: how long those lasted that ended in the window, seconds
    exact: int = 0  #: of those, with a beginning that was read
    states: list[int] = field(default_factory=lambda: [0] * len(State))  #: nanoseconds of their threads
    tasks_ns: int = 0  #: nanoseconds for which tasks worked on them, and no thread

    def lasted(self, part: float) -> float | None:
        """The quantile `part` (0..1) of how long those lasted that ended, seconds; None where none did."""
        if not self.ended:
            return None
        values = sorted(self.ended)
        return values[min(len(values) - 1, int(part * len(values)))]


def routes(
    reports: Iterable[tuple[Report, int, int]], threads: Mapping[int, ThreadHistory]
) -> dict[tuple[WorkKind, str, str], Route]:
    """Work by its name. What ended was in one report and not in the next."""
    found: dict[tuple[WorkKind, str, str], Route] = {}
    running: dict[int, tuple[Piece, Route]] = {}
    for report, begin, end in reports:
        there: dict[int, tuple[Piece, Route]] = {}
        inner = {p.inside for p in report.pieces}
        for piece in report.pieces:
            label = piece.label
            key = (label.kind, label.system, label.name)
            route = found.get(key)
            if route is None:
                route = found[key] = Route(label.kind, label.system, label.name, label.missing)
            if piece.id not in running or running[piece.id][1] is not route:
                route.seen += 1
            there[piece.id] = piece, route
            route.busy_ns += end - begin
            for tid in piece.threads:
                state = _state_at(threads.get(tid), (begin + end) // 2)
                route.states[state] += end - begin
            if not piece.threads and piece.id not in inner:
                route.tasks_ns += end - begin
        for id_, (piece, route) in running.items():
            if id_ not in there and not report.unknown:
                route.ended.append((begin - piece.begin_ns) / 1e9)
                route.exact += bool(piece.started_ns)
        running = there
    return found


def _state_at(thread: ThreadHistory | None, at_ns: int) -> State:
    if thread is None:
        return State.UNKNOWN
    runs = thread.runs
    i = bisect_right(runs, at_ns, key=lambda r: r.start_ns) - 1
    return runs[i].state if i >= 0 else State.UNKNOWN

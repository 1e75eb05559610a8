"""What was in progress in whose name, over the last while: requests, jobs, queries, calls.

Reports hold until the next one. Labels are kept as they are, not by their numbers, which a `Forget` makes void.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Generic, NamedTuple, Protocol, TypeVar

from concview.analysis.known_places import in_loop
from concview.analysis.records import ThreadHistory
from concview.analysis.tasks.records import TaskHistory
from concview.model import Label, State, Work, WorkKind

#: Reports are kept so long, and no more than so many.
KEPT_NS, REPORTS = 20_000_000_000, 128
#: What is missing while somebody is unknown is neither over nor in progress; after this time nothing is said of it.
KEPT_IN_DOUBT_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class WorkInProgress:
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
    sure_ns: int = 0

    @property
    def begin_ns(self) -> int:
        return self.started_ns or self.seen_ns

    @property
    def least_ns(self) -> int:
        """When it began at the latest: later than `begin_ns` where several, one after another, may look like one."""
        return self.begin_ns if self.started_ns else max(self.seen_ns, self.sure_ns)


@dataclass(frozen=True, slots=True)
class Report:
    """All that was in progress from `at_ns` until the next report, oldest first."""

    at_ns: int
    pieces: tuple[WorkInProgress, ...]
    looked: int = 0
    unknown: int = 0
    torn: int = 0
    more: int = 0
    systems: tuple[str, ...] = ()


def outermost(piece: WorkInProgress, by_id: Mapping[int, WorkInProgress]) -> WorkInProgress:
    """The request or job in which a query or call is made; itself where it is in none."""
    seen = {piece.id}
    while (outer := by_id.get(piece.inside)) is not None and outer.id not in seen:
        seen.add(outer.id)
        piece = outer
    return piece


KINDS = {
    WorkKind.REQUEST: "request",
    WorkKind.JOB: "job",
    WorkKind.QUERY: "query",
    WorkKind.TRANSACTION: "transaction",
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


class Doing(NamedTuple):
    """In whose name: the outermost piece of work (request, job), and the innermost one (query, call) inside it."""

    work: str = ""  #: 'GET /orders/<id>'
    inner: str = ""  #: 'SELECT a FROM t'; '' where the work is all there is

    def is_of(self, patterns: Collection[str]) -> bool:
        """Whether one of these (with * and ?) fits one of its names; no pattern: all, also what is in nobody's name."""
        return not patterns or any(fnmatchcase(name, p) for name in self if name for p in patterns)


IN_NOBODYS_NAME = Doing()
#: What stands where names do, for time in nobody's.
NO_WORK = "(no request, job, query or call)"
#: A tid, or -id of a task.
Node = int


class Worked(Protocol):
    """A piece of work, and who works on it."""

    @property
    def id(self) -> int: ...
    @property
    def inside(self) -> int: ...
    @property
    def threads(self) -> tuple[int, ...]: ...
    @property
    def tasks(self) -> tuple[int, ...]: ...


_Worked = TypeVar("_Worked", bound=Worked)


def doings(pieces: Iterable[_Worked], titled: Callable[[_Worked], str], tasks: bool = False) -> dict[Node, Doing]:
    """In whose name each thread works, or each task (`tasks`, by -id)."""
    by_id = {piece.id: piece for piece in pieces}
    around = {piece.inside for piece in by_id.values()}
    chains: dict[Node, list[int]] = defaultdict(list)
    for piece in by_id.values():
        for node in (-t for t in piece.tasks) if tasks else piece.threads:
            chains[node].append(piece.id)
    found = {}
    for node, ids in chains.items():
        outer = [i for i in ids if by_id[i].inside not in ids]
        inner = [i for i in ids if i not in around and i not in outer]
        found[node] = Doing(*[titled(by_id[i[0]]) for i in (outer, inner) if i])
    return found


class WorkHistory:
    """The reports of the last while."""

    def __init__(self) -> None:
        self.reports: deque[Report] = deque(maxlen=REPORTS)

    def add(self, event: Work, labels: Mapping[int, Label]) -> None:
        pieces = [
            WorkInProgress(
                i.id,
                label,
                i.seen_ns,
                i.started_ns,
                i.threads,
                i.tasks,
                i.inside,
                i.before,
                i.trace,
                i.span,
                i.sure_ns,
            )
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

    def end(self, piece: WorkInProgress, at_ns: int) -> None:
        """One of them has ended. How long it lasted is not known where it may have been several."""
        if piece.least_ns == piece.begin_ns:
            self.add_ended((at_ns - piece.begin_ns) / 1e9, bool(piece.started_ns))

    def add_ended(self, seconds: float, exact: bool) -> None:
        self.ended.append(seconds)
        self.exact += exact

    def lasted(self, part: float) -> float | None:
        """The quantile `part` (0..1) of how long those lasted that ended, seconds; None where none did."""
        if not self.ended:
            return None
        values = sorted(self.ended)
        return values[min(len(values) - 1, int(part * len(values)))]


Key = tuple[WorkKind, str, str]


#: What is known of a task by its id, also of one that has ended not long ago.
TaskOf = Callable[[int], TaskHistory | None]


def no_task(_: int) -> TaskHistory | None:
    return None


R = TypeVar("R", bound=Route)


class Sums(Generic[R]):
    """Work by its name: reports are added in the order of time. What ended was in one report and not in the next."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[WorkInProgress, R]] = {}
        #: Those that a report did not have in which somebody was unknown, since when: they may be over, or come again.
        self._missed: dict[int, tuple[WorkInProgress, R, int]] = {}
        self._at_ns = 0
        self._lefts: dict[int, int] = {}  #: of the last report: when those that worked on a piece went to wait for more
        self._over: set[int] = set()  #: of these, those whose threads have ended

    @property
    def running(self) -> Iterator[R]:
        """Of what was in progress last."""
        return (route for _, route in self._running.values())

    def of(self, label: Label) -> R:
        """Where to add what has this label."""
        raise NotImplementedError

    def add(
        self, report: Report, begin_ns: int, end_ns: int, threads: Mapping[int, ThreadHistory], task: TaskOf = no_task
    ) -> None:
        """What held between these two moments."""
        there: dict[int, tuple[WorkInProgress, R]] = {}
        running = self._running
        inner = {p.inside for p in report.pieces}
        # One report may be added in several parts.
        lefts = self._lefts if report.at_ns == self._at_ns else {}
        self._at_ns = report.at_ns
        for piece in report.pieces:
            known = running.get(piece.id)
            if known is None and piece.id in self._missed:
                known = self._missed.pop(piece.id)[:2]
            route = known[1] if known is not None and known[0].label == piece.label else self.of(piece.label)
            if known is None or known[1] is not route:
                route.seen += 1
            there[piece.id] = piece, route
            until = min(end_ns, max(begin_ns, _gone(piece, threads, task) or end_ns))
            if piece.id in lefts:
                continue
            if left := _left(piece, threads, begin_ns, until):
                lefts[piece.id] = left
            route.busy_ns += (left or until) - begin_ns
            for tid in piece.threads:
                _add_states(route.states, threads.get(tid), begin_ns, until)
            if not piece.threads and piece.id not in inner:
                route.tasks_ns += until - begin_ns
            if until < end_ns and piece.id not in self._over:
                self._over.add(piece.id)
                route.end(piece, until)
        for id_, (piece, route) in running.items():
            if id_ not in there and id_ not in self._over:
                self._missed[id_] = piece, route, self._lefts.get(id_, begin_ns)
        for id_, (piece, route, since_ns) in list(self._missed.items()):
            if not report.unknown or begin_ns - since_ns > KEPT_IN_DOUBT_NS:
                del self._missed[id_]
                if not report.unknown:
                    route.end(piece, since_ns)
        self._running, self._lefts = there, lefts
        self._over &= there.keys()


class _OfWindow(Sums[Route]):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[Key, Route] = {}

    def of(self, label: Label) -> Route:
        key = (label.kind, label.system, label.name)
        route = self.found.get(key)
        if route is None:
            route = self.found[key] = Route(label.kind, label.system, label.name, label.missing)
        return route


def routes(
    reports: Iterable[tuple[Report, int, int]], threads: Mapping[int, ThreadHistory], task: TaskOf = no_task
) -> dict[Key, Route]:
    """Work by its name, over a window."""
    sums = _OfWindow()
    for report, begin, end in reports:
        sums.add(report, begin, end, threads, task)
    return sums.found


def _gone(piece: WorkInProgress, threads: Mapping[int, ThreadHistory], task: TaskOf) -> int:
    """When the last of those that worked on it ended, and so it did too: a report may be older. 0: not all have. Where
    tasks work on it, threads do so for them."""
    if piece.tasks:
        ended = [t.gone_ns for id_ in piece.tasks if (t := task(id_)) is not None]
        return max(ended) if len(ended) == len(piece.tasks) and all(ended) else 0
    ended = [thread.gone_ns for tid in piece.threads if (thread := threads.get(tid)) is not None]
    return max(ended) if len(ended) == len(piece.threads) and ended and all(ended) else 0


def _left(piece: WorkInProgress, threads: Mapping[int, ThreadHistory], start_ns: int, end_ns: int) -> int:
    """When the last of the threads that worked on it went to wait for more work: if the next report does not have it
    any more, it was over then. 0: not all of them did."""
    went = [_went_idle(threads.get(tid), start_ns, end_ns) for tid in piece.threads]
    return max(went) if went and all(went) and not piece.tasks else 0


def _went_idle(thread: ThreadHistory | None, start_ns: int, end_ns: int) -> int:
    """When a thread, between two moments, began to wait for work in its pool's own loop; 0: it did not."""
    found = 0
    for run in reversed(thread.runs if thread is not None else ()):
        if run.start_ns <= start_ns:
            break
        if run.state is State.IDLE and run.start_ns < end_ns and in_loop(run.stack):
            found = run.start_ns
    return found


def _add_states(states: list[int], thread: ThreadHistory | None, start_ns: int, end_ns: int) -> None:
    """What the thread did between two moments, until it went to wait for more work; what is not known of it is
    unknown."""
    end_ns = _went_idle(thread, start_ns, end_ns) or end_ns
    left = end_ns - start_ns
    runs = thread.runs if thread is not None else ()
    for run in reversed(runs):
        begin, end = max(run.start_ns, start_ns), min(run.end_ns or end_ns, end_ns)
        if end > begin:
            states[run.state] += end - begin
            left -= end - begin
        if run.start_ns <= start_ns:
            break
    states[State.UNKNOWN] += left

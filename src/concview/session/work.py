"""Work in progress as views show it: with its age, who works on it, and what is in its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from concview.analysis import accounting
from concview.analysis.blame.nouns import Node
from concview.analysis.blame.tracker import Told
from concview.analysis.history import History
from concview.analysis.tasks import words
from concview.analysis.work import Route, WorkInProgress, outermost, routes
from concview.analysis.work import title as title
from concview.analysis.work_totals import Total, Totals
from concview.model import Links, State, TaskState, WorkKind
from concview.snapshot import ListeningView, RouteView, Snapshot, Status, ThreadView, WorkSummary, WorkTotal, WorkView
from concview.text import clean, duration, plural

#: Names told of one window.
MAX_ROUTES = 200
#: What two beginnings may differ by that are one: a look at who works on what, and a little.
_LOOK_NS = 300_000_000
_BUSY = (State.RUNNING, State.RUNNABLE, State.GIL)


class WorkComposer:
    """Keeps the window's sums between snapshots: they change once a second. `totals`: those since the beginning, where
    they are wanted."""

    def __init__(self, totals: Totals | None = None) -> None:
        self._totals, self._counted = totals, tuple[WorkTotal, ...]()
        self._routes: tuple[RouteView, ...] = ()
        self._at_ns = self._seconds = 0.0

    def compose(
        self, history: History, window_ns: int, threads: Iterable[ThreadView], told: Mapping[Node, Told]
    ) -> WorkSummary | None:
        """None where the stream does not tell of work. `told`: who is in whose way, by tid and by -id of a task."""
        report, hello = history.work.now, history.hello
        if report is None or hello is None:
            return None
        by_tid = {t.tid: t for t in threads}
        now = history.now_ns
        if not self._at_ns or now - self._at_ns >= 1_000_000_000 or now < self._at_ns:
            self._at_ns = now
            self._sum(history, now - window_ns, now)
        parts: dict[int, list[int]] = {}
        for piece in report.pieces:
            if piece.inside:
                parts.setdefault(piece.inside, []).append(piece.id)
        ways = Ways(report.pieces, history, told)
        sent = {tid: link.sent_ns for link in history.relations.links() for tid in link.waiters if link.sent_ns}
        moved = history.relations.at(Links)
        # Beside those of threads: ids of tasks as negative numbers.
        sent.update({-t.task: t.sent_ns for t in (moved.tasks if moved is not None else ()) if t.sent_ns})
        sent_at = moved.at_ns if moved is not None else 0
        views = [
            _view(p, tuple(parts.get(p.id, ())), history, by_tid, ways.of(p), sent, sent_at) for p in report.pieces
        ]
        views.sort(key=lambda v: -v.sure_s)  # as what was sent tells, which is after what was seen
        return WorkSummary(
            hello.labels,
            tuple(views),
            self._routes,
            self._seconds,
            report.looked,
            report.unknown,
            report.torn,
            report.more,
            report.systems,
            self._counted,
            max(0.0, (now - report.at_ns) / 1e9),
        )

    def _sum(self, history: History, start_ns: int, end_ns: int) -> None:
        told = history.work.between(start_ns, end_ns)
        seconds = sum(end - begin for _, begin, end in told) / 1e9
        self._seconds = seconds
        threads = {t.tid: t for t in (*history.gone, *history.threads.values())}
        found = routes(told, threads, history.aio.find)
        every = sorted(found.values(), key=lambda r: -r.busy_ns)[:MAX_ROUTES]
        self._routes = tuple([_route(r, seconds) for r in every])
        if self._totals is not None:
            self._totals.follow(history.work, end_ns, threads, history.aio.find)
            self._counted = tuple([_total(t) for t in self._totals.every()])


def _total(total: Total) -> WorkTotal:
    seconds = tuple([ns / 1e9 for ns in total.states])
    return WorkTotal(
        total.kind,
        total.system,
        total.name,
        total.missing,
        total.seen,
        total.over,
        total.over_s,
        total.busy_ns / 1e9,
        seconds,
        total.tasks_ns / 1e9,
    )


def _route(route: Route, seconds: float) -> RouteView:
    return RouteView(
        route.kind,
        route.system,
        route.name,
        route.missing,
        route.seen,
        route.busy_ns / 1e9 / seconds if seconds > 0 else 0.0,
        route.lasted(0.5),
        route.lasted(0.95),
        bool(route.ended) and route.exact == len(route.ended),
        accounting.to_shares([float(v) for v in route.states]),
        route.tasks_ns / route.busy_ns if route.busy_ns else 0.0,
    )


def _view(
    piece: WorkInProgress,
    parts: tuple[int, ...],
    history: History,
    threads: Mapping[int, ThreadView],
    way: Way,
    sent: Mapping[int, int],
    sent_at_ns: int,
) -> WorkView:
    """`sent`: when each thread, or task by -id, that waits at a connection last sent something there, as of
    `sent_at_ns`."""
    label = piece.label
    doing, state = _doing(piece, history, threads)
    begin, least, before = _began(piece, sent, sent_at_ns)
    return WorkView(
        piece.id,
        label.kind,
        label.system,
        label.name,
        label.missing,
        label.id,
        label.detail,
        max(0.0, (history.now_ns - begin) / 1e9),
        bool(piece.started_ns),
        before,
        piece.threads,
        piece.tasks,
        doing,
        state,
        piece.inside,
        parts,
        label.after,
        way.said,
        way.behind,
        piece.trace,
        piece.span,
        max(0.0, (history.now_ns - least) / 1e9) if least - begin > _LOOK_NS else None,
    )


def _began(piece: WorkInProgress, sent: Mapping[int, int], sent_at_ns: int) -> tuple[int, int, bool]:
    """When it began at the earliest and at the latest, and whether it was there before anybody looked. One statement
    that is executed again and again looks like one that lasts: but a query that waits for its answer was sent when
    something was last sent, and a call that waits began before that."""
    begin, least, before = piece.begin_ns, piece.least_ns, piece.before and not piece.started_ns
    nodes = (*piece.threads, *(-task for task in piece.tasks)) if not piece.started_ns else ()
    asked = max((sent.get(node, 0) for node in nodes), default=0)
    if piece.label.kind is WorkKind.QUERY and asked:
        if sent_at_ns >= least:
            least = max(begin, asked)
        if asked > begin:
            begin, before = asked, False
    elif piece.label.kind is WorkKind.CALL and asked:
        least = min(least, max(begin, asked))
    if before and least - begin > _LOOK_NS:
        begin = least  # older by an unknown time, as what was there before is
    return begin, max(begin, least), before


def _doing(piece: WorkInProgress, history: History, threads: Mapping[int, ThreadView]) -> tuple[str, State]:
    for tid in piece.threads:
        thread = threads.get(tid)
        if thread is None or not thread.alive:
            continue
        if thread.state in _BUSY:
            return thread.reason or thread.state.name.lower(), thread.state
        return thread.because or thread.reason or thread.state.name.lower(), thread.state
    tasks = [t for id_ in piece.tasks if (t := history.aio.tasks.get(id_)) is not None]
    # One that waits for another of them says nothing.
    for task in sorted(tasks, key=lambda t: t.current is not None and t.current.wait.state is TaskState.TASK):
        if task.current is not None:
            return words.reason(history.aio, task, task.current), State.UNKNOWN
    return "", State.UNKNOWN


class Way(NamedTuple):
    """Who and what is in the way of a piece of work: in words, and the ids of the work there, the nearest first."""

    said: str = ""
    behind: tuple[int, ...] = ()


_FREE = Way()


class Ways:
    """Follows what pieces of work wait for to the work in their way."""

    #: Titles of those that have one thing; of more, the number is told.
    MOST = 2

    def __init__(self, pieces: Sequence[WorkInProgress], history: History, told: Mapping[Node, Told]) -> None:
        self._history, self._told = history, told
        self._by_id = {p.id: p for p in pieces}
        self._inmost: dict[Node, WorkInProgress] = {}
        around = {p.inside for p in pieces}
        for piece in pieces:
            for node in _nodes(piece):
                known = self._inmost.get(node)
                if known is None or piece.inside == known.id or (known.id in around and piece.id not in around):
                    self._inmost[node] = piece
        self._known: dict[Node, Way] = {}

    def of(self, piece: WorkInProgress) -> Way:
        for node in _nodes(piece):
            told = self._told.get(node)
            if told is not None and told.way:
                way = self._known.get(node)
                if way is None:
                    way = self._known[node] = self._follow(told)
                return way
        return _FREE

    def _follow(self, told: Told) -> Way:
        said, behind, last = "", [], None
        for ahead in told.way:
            said += f"{', which waits for' if said else 'waits for'} {ahead.what}"
            if ahead.nodes:
                said += f", {ahead.had} {self._who(ahead.nodes)}"
                last = self._inmost.get(ahead.nodes[0])
                if last is not None:
                    behind.append(outermost(last, self._by_id).id)
        if last is not None and last.label.kind in _DOES:
            age_s = (self._history.now_ns - last.least_ns) / 1e9
            does, has_done = _DOES[last.label.kind]
            if age_s >= TOLD_S:
                age = f"{'' if last.started_ns else 'at least '}{duration(age_s)}"
                said += f", which has {has_done} {title(last.label)} for {age}"
            else:
                said += f", which {does} {title(last.label)}"
        return Way(f"{said}: {told.end}" if told.end else said, tuple(dict.fromkeys(behind)))

    def _who(self, nodes: Sequence[Node]) -> str:
        """'POST /reports', '2 x POST /reports and GET /x', 'rpc-1'."""
        counts = Counter(self._name(node) for node in nodes)
        first = self._name(nodes[0])
        names = [first, *(n for n, _ in counts.most_common() if n != first)]
        shown = [f"{counts[n]} x {n}" if counts[n] > 1 else n for n in names[: self.MOST]]
        more = sum(counts[n] for n in names[self.MOST :])
        return ", ".join(shown) + f" and {more} more" if more else " and ".join(shown)

    def _name(self, node: Node) -> str:
        piece = self._inmost.get(node)
        if piece is not None:
            return title(outermost(piece, self._by_id).label)
        if node < 0:
            task = self._history.aio.tasks.get(-node)
            return f"task {clean(task.name, 32)}" if task is not None else "a task"
        thread = self._history.threads.get(node)
        return clean(thread.name, 32) if thread is not None else f"tid {node}"


_DOES = {
    WorkKind.QUERY: ("runs", "run"),
    WorkKind.CALL: ("is in", "been in"),
    WorkKind.TRANSACTION: ("has an", "had an"),
}
#: An age below this is that of a look, not of what was seen.
TOLD_S = 0.05


def _nodes(piece: WorkInProgress) -> tuple[Node, ...]:
    """Those that work on it, as nodes of blame."""
    return (*piece.threads, *(-t for t in piece.tasks))


def age_words(w: WorkView) -> str:
    """'31.0 s' since a beginning that was read; 'first seen 31.0 s ago'; 'more than 31.0 s'; '0.5 s to 31.0 s'."""
    if w.exact:
        return duration(w.age_s)
    if w.least_s is not None:
        return f"{duration(w.least_s)} to {duration(w.age_s)}"
    return f"more than {duration(w.age_s)}" if w.before else f"first seen {duration(w.age_s)} ago"


#: Looking for work has its part of the budget, and has not been through all threads and tasks.
NOT_YET = (
    "requests, jobs and queries are being looked for: the first look at many threads and tasks takes some seconds "
    "of what the budget allows (--budget PERCENT gives more)"
)


def why_none(snapshot: Snapshot) -> str:
    """Why no work is shown, and what would show it; '' where there is some, or nothing is known of the process yet."""
    able, work = snapshot.capabilities.get("labels"), snapshot.work
    if snapshot.target is None or (work is not None and work.now):
        return ""
    if able is None:
        return "this recording has no requests, jobs or queries: it was made by an older concview; record again"
    if not able.available:
        return f"requests, jobs and queries are not looked for: {able.why}" + (
            f"; {able.enable}" if able.enable else ""
        )
    if work is None:
        return NOT_YET
    number = plural(work.looked, "thread or task", "threads and tasks")
    if work.unknown * 2 > work.looked:
        return f"{as_read(snapshot)}: what is in flight is not known just now"
    # Of those that went on while they were read nothing is known: they may well be in one.
    said = f"nothing {'was seen' if work.unknown else 'is'} in flight: {number} looked at"
    if work.systems:
        said += (
            f", code of {join_names(work.systems)} seen in their stacks, and none is in a request, job, query or call"
        )
    else:
        said += ", and none is in code of a server, job library, database driver or HTTP client that is known"
    if work.unknown:
        said += f"; {as_read(snapshot)}"
    if "gevent" in work.systems:
        said += "; greenlets of gevent that wait are on no thread's stack: what they work on cannot be seen"
    return said


def as_read(snapshot: Snapshot) -> str:
    """What must be known beside the rows: how many could not be read, and how old they are; '' nothing."""
    said, work = [], snapshot.work
    if work is None:
        return ""
    if work.unknown:
        said.append(f"{work.unknown} of {work.looked} threads and tasks went on while they were read, and are unknown")
    # Recordings of an older concview tell of what did not change only once.
    if work.read_s >= OLD_S and snapshot.status is Status.LIVE:
        said.append(f"read {duration(work.read_s)} ago, for want of CPU time (--budget)")
    return "; ".join(said)


def join_names(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


#: What was read longer ago than this is not what is in flight now.
OLD_S = 1.5
#: Sockets that listen, of which nobody waits: so many are told by name. Shorter waits are not told of.
_QUIET, _LONG_S = 3, 0.1


def queues_in_front(snapshot: Snapshot) -> list[str]:
    """Who waits in front of the process, for nobody has accepted the connection yet: a sentence for each socket at
    which somebody did, and one for all others. Empty: it listens nowhere, or that is not told."""
    said = [_queued(one, snapshot) for one in snapshot.listening if one.most]
    quiet = [one.name for one in snapshot.listening if not one.most]
    if quiet:
        more = f" and {len(quiet) - _QUIET} more" if len(quiet) > _QUIET else ""
        said.append(f"nobody waits to be accepted at {', '.join(quiet[:_QUIET])}{more}")
    return said


def _queued(one: ListeningView, snapshot: Snapshot) -> str:
    number = plural(one.waiting, "connection") if one.waiting else "nobody"
    room = f"; room for {one.limit}" if one.limit >= 0 else ""
    said = f"{number} {'waits' if one.waiting < 2 else 'wait'} to be accepted at {one.name}"
    said += f" ({one.mean:.1f} on average, at most {one.most}{room})"
    if one.oldest_s >= _LONG_S:
        said += f", the oldest for more than {duration(one.oldest_s)}"
    if one.waited_s > max(_LONG_S, one.oldest_s):
        said += f", one did for more than {duration(one.waited_s)}"
    if one.refused > 0:
        said += f"; {plural(one.refused, 'attempt')} to connect turned away: the queue was full"
    names = [clean(t.name, 32) for tid in one.threads[:3] if (t := snapshot.thread(tid)) is not None]
    more = f" and {len(one.threads) - 3} more" if len(one.threads) > 3 else ""
    whose = f"{', '.join(names)}{more} {'accepts' if len(one.threads) == 1 else 'accept'} there" if names else ""
    if one.waiting and whose:
        said += f"; {whose}"
    return said


def without_route(views: Iterable[WorkView | RouteView], mode: str) -> str:
    """What to do where a route is not known; '' where all are."""
    if mode == "full" or not any(v.missing == "route" for v in views):
        return ""
    return (
        "route not known: the framework does not keep the route's template where it can be read, and the path itself "
        "is private; --labels full shows paths"
    )


def inmost(w: WorkView, by_id: Mapping[int, WorkView]) -> WorkView:
    """What it is at: the innermost of its parts; itself where it has none."""
    seen = {w.id}
    while part := next((by_id[p] for p in w.parts if p in by_id and p not in seen), None):
        seen.add(part.id)
        w = part
    return w


def who(w: WorkView, snapshot: Snapshot) -> str:
    """Names of the threads and tasks that work on it."""
    names = [clean(t.name, 32) if (t := snapshot.thread(tid)) is not None else f"tid {tid}" for tid in w.threads[:3]]
    for id_ in w.tasks[:3]:
        task = snapshot.aio.task(id_) if snapshot.aio is not None else None
        names.append(f"task {clean(task.name, 32)}" if task is not None else f"task {id_}")
    return ", ".join(names)

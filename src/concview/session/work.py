"""Work in progress as views show it: with its age, who works on it, and what is in its way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from concview.analysis import accounting
from concview.analysis.history import History
from concview.analysis.tasks import words
from concview.analysis.work import Piece, Route, routes
from concview.model import State, WorkKind
from concview.snapshot import RouteView, Snapshot, ThreadView, WorkSummary, WorkView
from concview.text import clean, duration

#: Names told of one window.
MAX_ROUTES = 200
_BUSY = (State.RUNNING, State.RUNNABLE, State.GIL)


class WorkComposer:
    """Keeps the window's sums between snapshots: they change once a second."""

    def __init__(self) -> None:
        self._routes: tuple[RouteView, ...] = ()
        self._at_ns = self._seconds = 0.0

    def compose(self, history: History, window_ns: int, threads: Iterable[ThreadView]) -> WorkSummary | None:
        """None where the stream does not tell of work."""
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
        views = tuple([_view(p, tuple(parts.get(p.id, ())), history, by_tid) for p in report.pieces])
        return WorkSummary(
            hello.labels, views, self._routes, self._seconds, report.looked, report.unknown, report.torn, report.more
        )

    def _sum(self, history: History, start_ns: int, end_ns: int) -> None:
        told = history.work.between(start_ns, end_ns)
        seconds = sum(end - begin for _, begin, end in told) / 1e9
        self._seconds = seconds
        threads = {t.tid: t for t in (*history.gone, *history.threads.values())}
        found = routes(told, threads)
        every = sorted(found.values(), key=lambda r: -r.busy_ns)[:MAX_ROUTES]
        self._routes = tuple([_route(r, seconds) for r in every])


def _route(route: Route, seconds: float) -> RouteView:
    return RouteView(
        route.kind, route.system, route.name, route.missing, route.seen,
        route.busy_ns / 1e9 / seconds if seconds > 0 else 0.0,
        route.lasted(0.5), route.lasted(0.95), bool(route.ended) and route.exact == len(route.ended),
        accounting.to_shares([float(v) for v in route.states]),
        route.tasks_ns / route.busy_ns if route.busy_ns else 0.0,
    )  # fmt: skip


def _view(piece: Piece, parts: tuple[int, ...], history: History, threads: Mapping[int, ThreadView]) -> WorkView:
    label = piece.label
    doing, state = _doing(piece, history, threads)
    return WorkView(
        piece.id, label.kind, label.system, label.name, label.missing, label.id, label.detail,
        max(0.0, (history.now_ns - piece.begin_ns) / 1e9), bool(piece.started_ns),
        piece.before and not piece.started_ns, piece.threads, piece.tasks, doing, state, piece.inside, parts,
        label.after,
    )  # fmt: skip


def _doing(piece: Piece, history: History, threads: Mapping[int, ThreadView]) -> tuple[str, State]:
    for tid in piece.threads:
        thread = threads.get(tid)
        if thread is None or not thread.alive:
            continue
        if thread.state in _BUSY:
            return thread.reason or thread.state.name.lower(), thread.state
        return thread.because or thread.reason or thread.state.name.lower(), thread.state
    for id_ in piece.tasks:
        task = history.aio.tasks.get(id_)
        if task is not None and task.current is not None:
            return words.reason(history.aio, task, task.current), State.UNKNOWN
    return "", State.UNKNOWN


def title(view: WorkView | RouteView) -> str:
    """What a piece of work is called, and what of that is not known: 'GET (route not known)'."""
    name = view.name or _KINDS[view.kind]
    return f"{name} ({view.missing} not known)" if view.missing else name


_KINDS = {
    WorkKind.REQUEST: "request",
    WorkKind.JOB: "job",
    WorkKind.QUERY: "query",
    WorkKind.CALL: "call",
    WorkKind.SPAN: "span",
}


def age_words(w: WorkView) -> str:
    """'31.0 s' since a beginning that was read; 'first seen 31.0 s ago'; 'for more than 31.0 s'."""
    if w.exact:
        return duration(w.age_s)
    return f"more than {duration(w.age_s)}" if w.before else f"first seen {duration(w.age_s)} ago"


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

"""Work in progress, for `check` and `dump`: as JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence

from concview.commands import _schema as out
from concview.commands._text_writer import BOLD, Pen
from concview.model import STATES, State, WorkKind
from concview.session.work import age_words, inmost, queues_in_front, title, who, why_none, without_route
from concview.snapshot import RouteView, Snapshot, WorkSummary, WorkView
from concview.text import clean, duration, listed, plural

#: Lines of the text; the JSON has them all.
MOST_NOW, MOST_ROUTES = 12, 10
_PLURAL = {
    WorkKind.REQUEST: "request",
    WorkKind.JOB: "job",
    WorkKind.QUERY: "query",
    WorkKind.TRANSACTION: "transaction",
    WorkKind.CALL: "call to another service",
    WorkKind.SPAN: "span",
}


def work_out(work: WorkSummary | None) -> out.WorkSummaryOut | None:
    if work is None:
        return None
    return out.WorkSummaryOut(
        labels=work.mode,
        now=[_now_out(w) for w in work.now],
        routes=[_route_out(r) for r in work.routes],
        window_s=round(work.seconds, 3),
        looked=work.looked,
        unknown=work.unknown,
        torn=work.torn,
        more=work.more,
        libraries=list(work.systems),
    )


def _now_out(w: WorkView) -> out.WorkOut:
    return out.WorkOut(
        w.id,
        w.kind.value,
        w.system,
        w.name,
        w.missing,
        w.trace,
        round(w.age_s, 3),
        w.exact,
        w.before,
        list(w.threads),
        list(w.tasks),
        w.state.name.lower(),
        w.doing,
        w.inside or None,
        w.after,
        w.detail or None,
        w.because or None,
        list(w.behind),
        w.otel_trace or None,
        w.otel_span or None,
        round(w.least_s, 3) if w.least_s is not None else None,
    )


def _route_out(r: RouteView) -> out.RouteOut:
    return out.RouteOut(
        r.kind.value,
        r.system,
        r.name,
        r.missing,
        r.seen,
        round(r.in_flight, 2),
        _seconds(r.p50_s),
        _seconds(r.p95_s),
        r.exact,
        {s: round(v, 4) for s, v in zip(STATES, r.shares, strict=True)},
        round(r.tasks_share, 4),
    )


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def listening_out(snapshot: Snapshot) -> list[out.ListeningOut]:
    return [
        out.ListeningOut(
            v.kind,
            v.name,
            v.waiting,
            round(v.mean, 3),
            v.most,
            v.limit if v.limit >= 0 else None,
            v.refused if v.refused >= 0 else None,
            round(v.waited_s, 3),
            round(v.oldest_s, 3),
            list(v.threads),
            v.exact,
            list(v.shared),
        )
        for v in snapshot.listening
    ]


def work_text(snapshot: Snapshot, pen: Pen) -> None:
    """What is in progress, oldest first, then by name over the window; where there is none, why."""
    work = snapshot.work
    if work is None or not (work.now or work.routes):
        if said := why_none(snapshot):
            pen.line("Requests and jobs in flight", BOLD)
            pen.paragraph(f"{said[0].upper()}{said[1:]}.")
        _in_front(snapshot, pen)
        if said:
            pen.line()
        return
    outer = [w for w in work.now if not w.inside]
    by_id = {w.id: w for w in work.now}
    pen.line("Requests and jobs in flight", BOLD)
    pen.paragraph(_headline(outer, work))
    _in_front(snapshot, pen)
    alike = _alike(outer, by_id)
    for same in alike[:MOST_NOW]:
        pen.paragraph(_told(same, by_id, snapshot))
    if left := sum(len(same) for same in alike[MOST_NOW:]):
        pen.line(f"  ... {left} more (all in --format json)")
    rows = [_row(r) for r in work.routes[:MOST_ROUTES]]
    if rows:
        pen.line()
        pen.table(["work", "seen", "in flight", "p50", "p95", "mostly"], rows)
        if any(r.p50_s is not None and not r.exact for r in work.routes[:MOST_ROUTES]):
            pen.paragraph("~ counted from when it was first seen: up to 0.2 s longer, on a full machine more")
    if hint := without_route((*work.now, *work.routes), work.mode):
        pen.paragraph(hint)
    if len(work.routes) > MOST_ROUTES:
        pen.line(f"  ... {len(work.routes) - MOST_ROUTES} more (all in --format json)")
    pen.line()


def tree_work_text(those: Sequence[tuple[str, bool, Snapshot]], pen: Pen) -> None:
    """What is in progress in several processes, oldest first. `those`: (name, whether it is a worker, picture)."""
    rows: list[tuple[float, str]] = []
    number, left, oldest = 0, 0, None
    for name, _, snapshot in those:
        work = snapshot.work
        if work is None:
            continue
        outer = [w for w in work.now if not w.inside]
        number += len(outer)
        left += work.more
        by_id = {w.id: w for w in work.now}
        for same in _alike(outer, by_id):
            rows.append((same[0].sure_s, f"{name}: {_told(same, by_id, snapshot)}"))
            if oldest is None or same[0].sure_s > oldest.sure_s:
                oldest = same[0]
    if oldest is None:
        return
    busy = sum(worker and s.work is not None and any(not w.inside for w in s.work.now) for _, worker, s in those)
    workers = sum(worker for _, worker, _ in those)
    pen.line("Requests and jobs in flight", BOLD)
    more = f" (and {left} left out)" if left else ""
    within = f", in {busy} of {plural(workers, 'worker')}" if workers else ""
    pen.paragraph(f"{number}{more}{within}, the oldest {age_words(oldest)}")
    rows.sort(key=lambda row: -row[0])
    for _, told in rows[:MOST_NOW]:
        pen.paragraph(told)
    if len(rows) > MOST_NOW:
        pen.line(f"  ... {plural(len(rows) - MOST_NOW, 'more row')} (all in --format json)")
    pen.line()


def _in_front(snapshot: Snapshot, pen: Pen) -> None:
    for said in queues_in_front(snapshot):
        pen.paragraph(f"in front: {said}")


def _headline(outer: list[WorkView], work: WorkSummary) -> str:
    unknown = (
        f"; {plural(work.unknown, 'thread or task', 'threads and tasks')} went on while they were read"
        if work.unknown
        else ""
    )
    if not outer:
        return f"None at the last look{unknown}"
    more = f" (and {work.more} left out)" if work.more else ""
    return f"{len(outer)}{more}, the oldest {age_words(outer[0])}{unknown}"


def _alike(outer: list[WorkView], by_id: dict[int, WorkView]) -> list[list[WorkView]]:
    """Those that do the same at one place, told once; the oldest first."""
    found: dict[tuple[object, ...], list[WorkView]] = {}
    for w in outer:
        inner = inmost(w, by_id)
        found.setdefault((title(w), w.after, title(inner), inner.because or inner.doing), []).append(w)
    return list(found.values())


def _told(same: list[WorkView], by_id: dict[int, WorkView], snapshot: Snapshot) -> str:
    oldest = same[0]
    number = f"{len(same)} x " if len(same) > 1 else ""
    age = f"oldest {age_words(oldest)}" if number else age_words(oldest)
    names = [name for w in same if (name := who(w, snapshot))]
    whose = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    traces = listed([w.otel_trace for w in same if w.otel_trace], 2)
    trace = f"; trace {traces}" if traces else ""
    return f"{number}{title(oldest)}: {age}{_doing(oldest, by_id)}; {whose}{trace}"


def _doing(w: WorkView, by_id: dict[int, WorkView]) -> str:
    """What it is at: its innermost part, and what that waits for."""
    inner = inmost(w, by_id)
    at = f", in {title(inner)} ({age_words(inner)})" if inner is not w else ""
    after = " (its response has been sent)" if w.after else ""
    doing = inner.because or inner.doing
    return f"{after}{at}" + (f", {doing}" if doing else "")


def _row(r: RouteView) -> list[str]:
    mark = "" if r.exact else "~"
    times = [f"{mark}{duration(t)}" if t is not None else "·" for t in (r.p50_s, r.p95_s)]
    shares = sorted(zip(r.shares, State, strict=True), reverse=True)
    mostly = ", ".join(f"{s.name.lower()} {share * 100:.0f} %" for share, s in shares[:2] if share >= 0.05)
    if r.tasks_share >= 0.5:
        mostly = "awaits"
    return [clean(title(r), 60), str(r.seen), f"{r.in_flight:.1f}", *times, mostly]

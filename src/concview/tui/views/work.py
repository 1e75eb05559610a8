"""Key 0: in whose name. Requests, jobs, queries and calls in flight, and by name over the window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.segment import Segment

from concview import text
from concview.model import State
from concview.session.work import age_words, as_read, inmost, queues_in_front, title, who, why_none, without_route
from concview.snapshot import RouteView, Snapshot, WorkSummary, WorkView
from concview.tui.text_render import Line, fit, fit_name, paragraph
from concview.tui.theme import WORDS, Palette, palette_of
from concview.tui.views.base import NOTHING_YET, TableView, ViewSpec
from concview.tui.widgets.columns import Column, text_cell
from concview.tui.widgets.table import Table

#: Names shown below the list.
_MOST = 100
_NUMBERS = 36  #: cells of their numbers


class _Context:
    """What a row needs beside itself."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.by_id = {w.id: w for w in snapshot.work.now} if snapshot.work is not None else {}


def _age(w: WorkView, width: int, palette: Palette, context: Any) -> Line:
    mark = "" if w.exact else ">" if w.before else "≤" if w.least_s is not None else "~"
    return [Segment(fit(f"{mark}{text.duration(w.age_s)}", width, right=True), palette.bright)]


def _state(w: WorkView, width: int, palette: Palette, context: Any) -> Line:
    if w.tasks and not w.threads:
        return [Segment(fit("awaits", width), palette.dim)]
    return [Segment(fit(WORDS[w.state], width), palette.states[w.state])]


def _doing(w: WorkView, width: int, palette: Palette, context: Any) -> Line:
    inner = inmost(w, context.by_id)
    at = inner.because or inner.doing
    said = f"{title(inner)}: {at}" if inner is not w else at
    return [Segment(fit(said, width), palette.base)]


def _who(w: WorkView, width: int, palette: Palette, context: Any) -> Line:
    return [Segment(fit_name(who(w, context.snapshot), width), palette.dim)]


COLUMNS = (
    Column("name", "IN FLIGHT", 18, text_cell(title, "bright"), most=48, want=24, sort=title, down=False),
    Column("age", "AGE", 9, _age, right=True, sort=lambda w: w.sure_s),
    Column("state", "STATE", 9, _state, sort=lambda w: w.state, down=False),
    Column("doing", "DOES, OR WAITS FOR", 20, _doing, most=90, want=34),
    Column("who", "THREAD OR TASK", 14, _who, most=24, drop=3),
    Column("system", "BY", 10, text_cell(lambda w: w.system, "dim"), drop=4, sort=lambda w: w.system, down=False),
)


class Requests(TableView):
    keys = ("open", "calls", "filter", "sort", "pause", "back")
    DEFAULT_CSS = "Requests #detail { border-top: solid $panel; }"

    def table(self) -> Table:
        return Table(
            COLUMNS,
            lambda w: w.id,
            sort="age",
            id="list",
            haystack=lambda w: f"{title(w)} {w.system} {w.kind} {w.doing} {w.trace} {w.detail}".lower(),
        )

    def rows(self, snapshot: Snapshot) -> Sequence[WorkView]:
        return tuple(w for w in snapshot.work.now if not w.inside) if snapshot.work is not None else ()

    def context(self, snapshot: Snapshot) -> Any:
        return _Context(snapshot)

    def why_empty(self, snapshot: Snapshot) -> str:
        if snapshot.target is None:
            return NOTHING_YET
        return why_none(snapshot) or NOTHING_YET

    def detail(self, row: Any, snapshot: Snapshot, width: int) -> list[Line] | None:
        work = snapshot.work
        if work is None:
            return None
        palette = palette_of(self)
        lines: list[Line] = []
        if work.now and (said := as_read(snapshot)):
            lines += [*paragraph(said, width, palette.warn), []]
        if isinstance(row, WorkView):
            lines += self._one(row, snapshot, width, palette)
        for said in queues_in_front(snapshot):
            lines += paragraph(f"in front: {said}", width, palette.base)
        lines += _routes(work, width, palette)
        return lines

    def _one(self, w: WorkView, snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
        context = _Context(snapshot)
        lines = paragraph(f"{title(w)}: {age_words(w)}", width, palette.bright)
        trace = f"trace {w.otel_trace}, span {w.otel_span}" if w.otel_trace else ""
        for told in (f"id {w.trace}" if w.trace else "", trace, w.detail):
            if told:
                lines += paragraph(told, width, palette.dim)
        if w.after:
            lines += paragraph("Its response has been sent; what is done now comes after it.", width, palette.dim)
        at, seen = w, set[int]()
        while at.id not in seen:
            seen.add(at.id)
            part = next((context.by_id[p] for p in at.parts if p in context.by_id), None)
            doing = at.because or at.doing
            if doing and (part is None or (part.because or part.doing) != doing):
                lines += paragraph(doing, width, palette.base)
            if part is None:
                break
            lines += paragraph(f"in {title(part)}: {age_words(part)}", width, palette.accent)
            at = part
        return [*lines, *paragraph(who(w, snapshot), width, palette.dim), []]

    def on_table_opened(self, event: Table.Opened) -> None:
        """Enter leads to the thread that works on it."""
        event.stop()
        w: WorkView = event.row
        inner = inmost(w, _Context(self.snapshot).by_id) if self.snapshot is not None else w
        tid = next(iter((*inner.threads, *w.threads)), 0)
        if tid:
            self.post_message(self.Goto("thread", tid))
        else:
            self.app.notify("no thread works on it now: it awaits", markup=False, timeout=3)

    def do_calls(self) -> None:
        row = self.grid.current
        if isinstance(row, WorkView):
            self.post_message(self.Goto("flame", title(row)))

    def selection(self) -> str:
        row = self.grid.current
        return f"{title(row)}: {age_words(row)}; {row.doing}" if isinstance(row, WorkView) else ""


def _routes(work: WorkSummary, width: int, palette: Palette) -> list[Line]:
    if not work.routes:
        return []
    head = f"{'seen':>6} {'in flight':>9} {'p50':>9} {'p95':>9}  mostly"
    room = max(16, width - 56)
    lines: list[Line] = [
        [Segment(f"By name, over {text.duration(work.seconds)}", palette.title)],
        [Segment(fit(fit("", room) + head, width).rstrip(), palette.faint)],
    ]
    for route in work.routes[:_MOST]:
        lines.append(
            [
                Segment(fit(title(route), room - 1) + " ", palette.base),
                Segment(
                    f"{route.seen:>6} {route.in_flight:>9.1f} {_lasted(route, route.p50_s)} "
                    f"{_lasted(route, route.p95_s)}",
                    palette.bright,
                ),
                Segment(fit(f"  {_mostly(route)}", max(0, width - room - _NUMBERS)).rstrip(), palette.dim),
            ]
        )
    if len(work.routes) > _MOST:
        lines.append([Segment(f"  and {len(work.routes) - _MOST} more", palette.dim)])
    if any(not r.exact and r.p50_s is not None for r in work.routes[:_MOST]):
        lines += paragraph("~ counted from when it was first seen; may be up to 0.2 s longer", width, palette.faint)
    if hint := without_route((*work.now, *work.routes), work.mode):
        lines += paragraph(hint, width, palette.faint)
    return lines


def _lasted(route: RouteView, seconds: float | None) -> str:
    if seconds is None:
        return f"{'·':>9}"
    return f"{'' if route.exact else '~'}{text.duration(seconds)}".rjust(9)


def _mostly(route: RouteView) -> str:
    if route.tasks_share >= 0.5:
        return "awaits"
    share, state = max(zip(route.shares, State, strict=True))
    return f"{WORDS[state]} {text.percent(share)}" if share > 0 else ""


VIEW = ViewSpec("work", 0, "Requests", Requests, own_key=True)

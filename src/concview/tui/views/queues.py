"""Tab 9: queues and thread pools, as they are read from memory: what they hold, who waits at them, how that changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.segment import Segment

from concview import text
from concview.model import CONNECTION_POOL, State
from concview.session.phrases import lasting
from concview.snapshot import QueueView, Snapshot
from concview.tui.text_render import Line, fit, fit_place, paragraph, sparkline
from concview.tui.theme import Palette, palette_of
from concview.tui.views._tasks_elsewhere import QUEUES, tasks_elsewhere
from concview.tui.views.base import NOTHING_YET, TableView, ViewSpec
from concview.tui.widgets.columns import Column, number_cell, text_cell
from concview.tui.widgets.names import names_of
from concview.tui.widgets.table import Table
from concview.tui.widgets.threads import place

#: Threads of each list in the detail.
_MOST = 20
NONE_SEEN = "no queue.Queue, SimpleQueue or thread pool is in use"


def name_of(queue: QueueView) -> str:
    return queue.name or ("a pool" if queue.pool else "not named")


def _full(queue: QueueView) -> bool:
    return 0 < queue.most <= queue.size and queue.kind != CONNECTION_POOL


def _rate(value: float | None) -> str:
    return "-" if value is None else text.count(round(value, 1))


def _less(value: float | None) -> float:
    return -1.0 if value is None else value


def _depth(queue: QueueView, width: int, palette: Palette, context: Any) -> Line:
    full = _full(queue)
    style = palette.warn if full or queue.growth > 0 else palette.bright if queue.size else palette.faint
    return [Segment(fit(text.count(queue.size), width, right=True), style)]


def _waiters(tids: str, state: State) -> Any:
    def draw(queue: QueueView, width: int, palette: Palette, context: Any) -> Line:
        number = len(getattr(queue, tids))
        return [Segment(fit(str(number), width, right=True), palette.states[state] if number else palette.faint)]

    return draw


def _trend(queue: QueueView, width: int, palette: Palette, context: Any) -> Line:
    shown = queue.sizes[-width:]
    top = max(1, queue.most or 0, *shown) if shown else 1
    return [Segment(fit(sparkline(shown, top)[0], width), palette.accent)]


def _workers(queue: QueueView) -> str:
    return f"{queue.idle} of {len(queue.workers)}" if queue.pool else "-"


COLUMNS = (
    Column("name", "QUEUE", 16, text_cell(name_of, "bright"), most=40, sort=name_of, down=False),
    Column(
        "kind", "KIND", 11, text_cell(lambda q: "thread pool" if q.pool else q.kind, "dim"), most=16, drop=3,
        sort=lambda q: (q.pool, q.kind), down=False,
    ),
    Column("depth", "DEPTH", 6, _depth, right=True, sort=lambda q: q.size),
    Column("most", "MAX", 6, number_cell(lambda q: text.count(q.most) if q.most else "none", "dim"), right=True,
           sort=lambda q: q.most),
    Column("putting", "PUT", 4, _waiters("putting", State.LOCK), right=True, sort=lambda q: len(q.putting)),
    Column("getting", "GET", 4, _waiters("getting", State.IDLE), right=True, sort=lambda q: len(q.getting)),
    Column("idle", "IDLE", 8, number_cell(_workers), drop=4, right=True, sort=lambda q: q.idle),
    Column("in", "IN/S", 6, number_cell(lambda q: _rate(q.put_rate)), drop=1, right=True,
           sort=lambda q: _less(q.put_rate)),
    Column("out", "OUT/S", 6, number_cell(lambda q: _rate(q.get_rate)), drop=2, right=True,
           sort=lambda q: _less(q.get_rate)),
    Column("trend", "LAST TWO MINUTES", 10, _trend, most=60, drop=5),
)  # fmt: skip


def said(queue: QueueView) -> str:
    """What there is to know of it, in a sentence or two."""
    bound = f"of at most {queue.most}" if queue.most else "no limit"
    item = "free connection" if queue.kind == CONNECTION_POOL else "item"
    words = f"{text.plural(queue.size, item)} in it, {bound}."
    if queue.growth > 0:
        words += f" It grows by {text.count(round(queue.growth, 1))} a second, all the time."
    if _full(queue):
        words += " It is full: put() has to wait."
    if queue.get_rate and queue.size:
        words += f" What is put in now waits {text.duration(queue.size / queue.get_rate)}."
    if queue.pool:
        allowed = f" of {queue.pool_most}" if queue.pool_most else ""
        words += f" {text.plural(len(queue.workers), 'worker')}{allowed}, {queue.idle} idle."
    return words


def first_thread(queue: QueueView) -> int:
    """Where Enter leads: to who waits for room, else for an item, else to who uses it; 0: nobody is known."""
    return next(iter((*queue.putting, *queue.getting, *queue.workers, *queue.users)), 0)


class QueuesView(TableView):
    DEFAULT_CSS = "QueuesView #detail { border-top: solid $panel; }"

    def table(self) -> Table:
        return Table(
            COLUMNS,
            lambda q: q.key,
            id="list",
            haystack=lambda q: f"{name_of(q)} {q.kind} {'thread pool' if q.pool else ''}".lower(),
        )

    def elsewhere(self, snapshot: Snapshot) -> str:
        return tasks_elsewhere(snapshot, QUEUES)

    def rows(self, snapshot: Snapshot) -> Sequence[QueueView]:
        return snapshot.depths

    def why_empty(self, snapshot: Snapshot) -> str:
        if snapshot.target is None:
            return NOTHING_YET
        able = snapshot.capabilities.get("queues")
        if able is not None and not able.available:
            return f"queues cannot be read: {able.why}; {able.enable}"
        return NONE_SEEN

    def detail(self, row: Any, snapshot: Snapshot, width: int) -> list[Line] | None:
        if row is None:
            return None
        queue: QueueView = row
        palette = palette_of(self)
        kind = "thread pool" if queue.pool else queue.kind
        lines: list[Line] = [
            [Segment(fit(f"{name_of(queue)} ({kind})", width).rstrip(), palette.bright)],
            *paragraph(said(queue), width, palette.base),
        ]
        for finding in snapshot.findings:
            if finding.subject == queue.key:
                lines += paragraph(f"▲ {finding.title}: view 3 says why and what to do", width, palette.warn)
        told: set[int] = set()
        names = names_of(snapshot)
        for title, tids in (
            ("Wait for room", queue.putting),
            ("Wait for an item", queue.getting),
            ("Workers", queue.workers),
            ("Refer to it, and do not wait", queue.users),
        ):
            threads = [t for t in map(snapshot.thread, tids) if t is not None and t.tid not in told]
            told |= {t.tid for t in threads}
            if threads:
                lines += [[], [Segment(f"{title}: {len(threads)}", palette.title)]]
            for thread in threads[:_MOST]:
                lines.append(
                    [
                        Segment(f"  {names.fit(thread.tid, thread.name, 22)}", palette.base),
                        Segment(fit(lasting(thread), 10, right=True), palette.bright),
                        Segment(f"  {fit_place(place(thread), max(0, width - 36)).rstrip()}", palette.dim),
                    ]
                )
            if len(threads) > _MOST:
                lines.append([Segment(f"  and {len(threads) - _MOST} more", palette.dim)])
        return lines

    def on_table_opened(self, event: Table.Opened) -> None:
        """Enter leads to a thread at it."""
        event.stop()
        tid = first_thread(event.row)
        if tid:
            self.post_message(self.Goto("thread", tid))
        else:
            self.app.notify("no thread that uses it was seen", markup=False, timeout=3)

    def selection(self) -> str:
        row = self.grid.current
        return f"{name_of(row)} ({row.kind}): {said(row)}" if isinstance(row, QueueView) else ""


def _mark(snapshot: Snapshot) -> str:
    waiting = sum(len(queue.putting) for queue in snapshot.depths)
    return f"×{waiting}" if waiting else ""


VIEW = ViewSpec("queues", 9, "Queues", QueuesView, _mark)

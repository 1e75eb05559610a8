"""Tab 2: every thread, what it does, why, and its last minute; by pool where there are many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from textual.app import ComposeResult

from concview.snapshot import Snapshot, ThreadView
from concview.tui.views._tasks_elsewhere import all_tasks
from concview.tui.views.base import TableView, ViewSpec
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.groups import MANY, Groups, pool_of
from concview.tui.widgets.page import Page, Panel
from concview.tui.widgets.states import slice_number
from concview.tui.widgets.table import Table
from concview.tui.widgets.threads import COLUMNS, HINT, as_line, columns_of, thread_table


class Threads(TableView):
    keys = ("open", "filter", "sort", "group", "pause", "back")

    def __init__(self) -> None:
        super().__init__()
        self.groups = Groups()

    def compose(self) -> ComposeResult:
        yield Panel(id="elsewhere")
        yield self.table()
        yield Page(id="detail")
        yield FilterBar(hint=HINT)

    def table(self) -> Table:
        return thread_table(id="list")

    def elsewhere(self, snapshot: Snapshot) -> str:
        return all_tasks(snapshot)

    def rows(self, snapshot: Snapshot) -> Sequence[ThreadView]:
        return snapshot.threads

    def context(self, snapshot: Snapshot) -> Any:
        return slice_number(snapshot)

    def draw(self, snapshot: Snapshot) -> None:
        groups, grid, base = self.groups, self.grid, self.baseline
        if groups.on is None and snapshot.threads:
            groups.on = sum(1 for t in snapshot.threads if t.alive) >= MANY
        groups.phase = slice_number(snapshot)
        grid.regroup = self._regroup if groups.on else None
        shown = columns_of(snapshot, self.size.width, COLUMNS)
        grid.columns = shown if base is None else base.columns(shown)
        super().draw(snapshot)

    def _regroup(self, rows: list[Any], by: Callable[[Any], Any] | None, down: bool) -> list[Any]:
        self.groups.all_open = bool(self.grid.needle)  # what a filter leaves is seen
        return self.groups.arrange(rows, by, down)

    def aim(self, subject: Any) -> None:
        """A thread, or the column to sort by."""
        if isinstance(subject, str):
            self.grid.sort_by, self.grid.reversed, self.grid.own_sort = subject, False, False
            self.grid.untouch()
            return
        if self.snapshot is not None:
            self.groups.open_for(subject, self.snapshot.threads)
        self.grid.choose(subject)

    def on_table_opened(self, event: Table.Opened) -> None:
        event.stop()
        if event.row.tid < 0:
            self.groups.toggle(pool_of(event.row))
            self.redraw()
        else:
            self.post_message(self.Goto("thread", event.row.tid))

    def do_group(self) -> None:
        self.groups.on = not self.groups.on
        self.redraw()

    def do_fold(self) -> None:
        if self.snapshot is not None and self.groups.on:
            self.groups.fold_all(self.snapshot.threads)
            self.redraw()

    def selection(self) -> str:
        row = self.grid.current
        return as_line(row) if isinstance(row, ThreadView) else ""


def _mark(snapshot: Snapshot) -> str:
    return str(sum(1 for t in snapshot.threads if t.alive)) if snapshot.threads else ""


VIEW = ViewSpec("threads", 2, "Threads", Threads, _mark)

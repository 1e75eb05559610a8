"""Tab 2: every thread, what it does, why, and its last minute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concview.snapshot import Snapshot, ThreadView
from concview.tui.views.base import TableView, ViewSpec
from concview.tui.widgets.states import slice_number
from concview.tui.widgets.table import Table
from concview.tui.widgets.threads import as_line, thread_table


class Threads(TableView):
    def table(self) -> Table:
        return thread_table(id="list")

    def rows(self, snapshot: Snapshot) -> Sequence[ThreadView]:
        return snapshot.threads

    def context(self, snapshot: Snapshot) -> Any:
        return slice_number(snapshot)

    def aim(self, subject: Any) -> None:
        self.grid.choose(subject)

    def on_table_opened(self, event: Table.Opened) -> None:
        event.stop()
        self.post_message(self.Goto("thread", event.row.tid))

    def selection(self) -> str:
        row = self.grid.current
        return as_line(row) if isinstance(row, ThreadView) else ""


def _mark(snapshot: Snapshot) -> str:
    return str(sum(1 for t in snapshot.threads if t.alive)) if snapshot.threads else ""


VIEW = ViewSpec("threads", 2, "Threads", Threads, _mark)

"""Tab 3: every finding with its numbers, evidence and fix; below, what does not fire and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Container
from textual.events import Key
from textual.widget import Widget

from concview.model import Finding
from concview.snapshot import Snapshot
from concview.tui.keys import by_id
from concview.tui.text_render import Line
from concview.tui.theme import palette_of
from concview.tui.views.base import TableView, ViewSpec
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.findings import COLUMNS, finding_line, finding_page, findings_table, judged_lines
from concview.tui.widgets.page import Page
from concview.tui.widgets.table import Table


class Findings(TableView):
    DEFAULT_CSS = """
    Findings #left { height: auto; }
    Findings #list { height: 4; }
    Findings #judged { display: none; }
    Findings.wide #body { layout: horizontal; }
    Findings.wide #left { width: 46; height: 1fr; margin: 0 2 0 0; }
    Findings.wide #judged { display: block; }
    """
    keys = ("open", "focus", "filter", "fold", "pause", "back")

    shrinks = False

    def __init__(self) -> None:
        super().__init__()
        self.folded = True
        self._reading = False  #: one finding was opened from elsewhere: the arrows scroll its page

    def compose(self) -> ComposeResult:
        with Container(id="body"):
            with Container(id="left"):
                yield findings_table(id="list", columns=COLUMNS)
                yield Page(id="judged")
            yield Page(id="detail")
        yield FilterBar()

    def rows(self, snapshot: Snapshot) -> Sequence[Finding]:
        return sorted(snapshot.findings, key=lambda f: f.recent)

    def draw(self, snapshot: Snapshot) -> None:
        most = max(2, self.size.height // (2 if self.has_class("wide") else 4))
        self.grid.styles.height = max(1, min(len(snapshot.findings), most))
        super().draw(snapshot)
        judged = self.query_one("#judged", Page)
        judged.set_lines([[], *judged_lines(snapshot, judged.room, palette_of(self))])

    def detail(self, row: Any, snapshot: Snapshot, width: int) -> list[Line]:
        palette = palette_of(self)
        lines: list[Line] = []
        if row is not None:
            lines = [[], *finding_page(row, width, palette, self.folded)]
        if not self.has_class("wide"):
            lines += [[], *judged_lines(snapshot, width, palette)]
        return lines

    def aim(self, subject: Any) -> None:
        self._reading = True
        self.grid.choose(subject)
        self.redraw()

    def primary(self) -> Widget | None:
        return self.query_one("#detail", Page) if self._reading else super().primary()

    def back(self) -> bool:
        reading, self._reading = self._reading, False
        if reading and not self.query_one(FilterBar).display:
            return False  # to where it was opened
        return super().back()

    def on_key(self, event: Key) -> None:
        """Enter leads on from the page as it does from the list."""
        if event.key in by_id("open").keys.split(",") and self.query_one("#detail", Page).has_focus:
            event.stop()
            self.grid.action_open()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Enter leads to the first thread of the evidence."""
        event.stop()
        finding: Finding = event.row
        tid = finding.stacks[0].tid if finding.stacks else next(iter(finding.threads), 0)
        if tid:
            self.post_message(self.Goto("thread", tid))

    def do_fold(self) -> None:
        self.folded = not self.folded
        self.redraw()

    def selection(self) -> str:
        row = self.grid.current
        return finding_line(row) if isinstance(row, Finding) else ""


def _mark(snapshot: Snapshot) -> str:
    firing = sum(1 for f in snapshot.findings if not f.recent)
    return f"▲{firing}" if firing else ""


VIEW = ViewSpec("findings", 3, "Findings", Findings, _mark, "Finds")

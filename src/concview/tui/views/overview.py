"""Tab 1: the verdict, where the time goes, the numbers over time, the findings, the threads."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from textual.app import ComposeResult
from textual.widget import Widget

from concview import text
from concview.snapshot import Snapshot
from concview.tui.ink import Line, beside, cut, paragraph, seconds, wrap
from concview.tui.theme import Palette, palette_of
from concview.tui.verdict import verdict
from concview.tui.views.base import View, ViewSpec
from concview.tui.widgets.baseline import difference_lines
from concview.tui.widgets.findings import finding_line, findings_table
from concview.tui.widgets.page import Panel
from concview.tui.widgets.states import GAUGES, bar, gauge_lines, legend, slice_number
from concview.tui.widgets.table import Table
from concview.tui.widgets.threads import BRIEF, COLUMNS, as_line, thread_table


def verdict_lines(snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    """At most five lines, the first words of which are the answer."""
    said = verdict(snapshot)
    badge = f" {said.symbol} {said.word} "
    sentence = cut(wrap(said.sentence, width - len(badge) - 1), 2, width - len(badge) - 1)
    lines: list[Line] = [[Segment(badge, palette.badges[said.tone]), Segment(" " + sentence[0], palette.bright)]]
    lines += [[Segment(" " * (len(badge) + 1) + part, palette.bright)] for part in sentence[1:]]
    firing = [f for f in snapshot.findings if not f.recent]
    more = [firing[0].summary] if firing else []
    if said.more and not firing:
        more.append(said.more)
    for part in cut(wrap(" ".join(more), width - 2), 3, width - 2) if more else ():
        lines.append([Segment("  " + part, palette.base)])
    return lines


def waiting_lines(snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    """Nothing has arrived: what was said so far, and what to do when it stays like this."""
    lines: list[Line] = [[]]
    for notice in snapshot.notices[-5:]:
        lines += paragraph(notice.text, width, palette.warn, 2)
    said = "The first samples take less than a second as a rule. `concview doctor PID` says what stands in the way."
    return [*lines, *paragraph(snapshot.ending or said, width, palette.dim, 2)]


def time_lines(snapshot: Snapshot, width: int, palette: Palette, roomy: bool) -> list[Line]:
    threads = sum(1 for t in snapshot.threads if t.alive and not t.native)
    title = f"Where the time of {text.plural(threads, 'Python thread')} goes, last {seconds(snapshot.seconds)}"
    lines: list[Line] = [[Segment(title, palette.dim)]]
    picture = bar(snapshot.states, width, palette)
    lines += [picture, picture] if roomy else [picture]
    return lines + (legend(snapshot.states, width, palette) if any(snapshot.states) else [])


def gauges(snapshot: Snapshot, width: int, columns: int, rows: int, palette: Palette) -> list[Line]:
    each = (width - 3 * (columns - 1)) // columns
    blocks = [gauge_lines(snapshot, gauge, each, rows, palette) for gauge in GAUGES]
    lines: list[Line] = []
    for at in range(0, len(blocks), columns):
        block = blocks[at]
        for column, other in enumerate(blocks[at + 1 : at + columns], start=1):
            block = beside(block, other, each * column + 3 * (column - 1), "   ", palette.base)
        lines += block
    return lines


class Overview(View):
    keys = ("open", "focus", "pause", "sort", "copy", "export")

    def compose(self) -> ComposeResult:
        yield Panel(id="summary")
        yield findings_table(id="findings")
        yield thread_table(BRIEF, id="threads")

    def draw(self, snapshot: Snapshot) -> None:
        palette, width, height = palette_of(self), self.size.width, self.size.height
        if not width:
            return
        roomy = height >= 34
        base = self.baseline
        lines = verdict_lines(snapshot, width, palette)
        if snapshot.target is None:
            lines += waiting_lines(snapshot, width, palette)
        else:
            if roomy:
                lines.append([])
            lines += time_lines(snapshot, width, palette, roomy)
            if base is not None:
                lines += difference_lines(base.snapshot, snapshot, width, palette)
            if roomy:
                lines.append([])
            if width >= 76 and height >= 18:
                columns = 3 if width >= 180 else 2
                lines += gauges(snapshot, width, columns, 2 if roomy else 1, palette)
                if roomy:
                    lines.append([])
        self.query_one("#summary", Panel).set_lines(lines)
        findings = self.query_one("#findings", Table)
        rows = [f for f in snapshot.findings if not f.recent] + [f for f in snapshot.findings if f.recent]
        # The verdict already says the only one; a list is for when there are more, or room for both.
        spare = height - len(lines) - (8 if roomy else 5)
        if height - len(lines) >= 4:
            spare = max(spare, 1)  # one at least, where it fits at all: Enter leads from it to what the verdict says
        shown = max(0, min(len(rows), 8 if roomy else 3, spare))
        findings.display = bool(shown)
        findings.styles.height = shown
        findings.styles.margin = (0, 0, 1 if roomy else 0, 0)
        findings.set_rows(rows)
        threads = self.query_one("#threads", Table)
        threads.display = snapshot.target is not None
        shown_columns = COLUMNS if width >= 110 else BRIEF
        threads.columns = shown_columns if base is None else base.columns(shown_columns)
        threads.set_rows(snapshot.threads, slice_number(snapshot))
        if findings.display and threads.has_focus and not threads.touched:
            # The first finding came while the keyboard was with the threads: Enter shall lead to what the verdict says.
            findings.focus()

    def primary(self) -> Widget | None:
        findings = self.query_one("#findings", Table)
        return findings if findings.display and findings.rows else self.query_one("#threads", Table)

    def on_table_opened(self, event: Table.Opened) -> None:
        event.stop()
        if event.table.id == "findings":
            self.post_message(self.Goto("findings", event.table.key(event.row)))
        else:
            self.post_message(self.Goto("thread", event.row.tid))

    def on_table_edge(self, event: Table.Edge) -> None:
        """Down from the last finding leads into the threads, and back."""
        findings, threads = self.query_one("#findings", Table), self.query_one("#threads", Table)
        if event.table is findings and event.direction > 0:
            threads.focus()
        elif event.table is threads and event.direction < 0 and findings.display:
            findings.focus()

    def do_sort(self) -> None:
        self.query_one("#threads", Table).cycle_sort()

    def do_reverse(self) -> None:
        self.query_one("#threads", Table).reverse()

    def selection(self) -> str:
        table: Any = next((t for t in self.query(Table) if t.has_focus), self.primary())
        row = table.current if isinstance(table, Table) else None
        if row is None:
            return ""
        return finding_line(row) if table.id == "findings" else as_line(row)


VIEW = ViewSpec("overview", 1, "Overview", Overview)

"""Several processes at once: which of the workers is it? Enter looks closely at one, and p comes back."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import ComposeResult
from textual.message import Message

from concview import text
from concview.session.service import ServiceRow
from concview.tui.ports import Service
from concview.tui.screens.list_screen import ListScreen
from concview.tui.text_render import Line, fit, fit_command, paragraph
from concview.tui.theme import Palette, palette_of
from concview.tui.widgets.columns import Column, text_cell
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.header import BEGINS_S
from concview.tui.widgets.page import Panel
from concview.tui.widgets.process_rows import CPU, PID, depths, name_column, number_column, under_masters
from concview.tui.widgets.table import Table

REFRESH_S = 0.5
_RANK = {"warn": 2, "info": 1, "": 0}
_MARK = {"warn": "▲ ", "info": "● ", "": ""}


def _verdict(row: ServiceRow, width: int, palette: Palette, context: Any) -> Line:
    if row.state and not (row.state == "stopped" and row.verdict):
        calm = row.state == "ended" and not row.died
        return [Segment(fit(f"× {row.died or row.state}", width), palette.dim if calm else palette.warn)]
    if not row.verdict:
        return [Segment(fit("too little was seen yet", width), palette.faint)]
    tone = {"warn": palette.error, "info": palette.warn}.get(row.severity, palette.base)
    return [Segment(fit(_MARK[row.severity] + row.verdict, width), tone)]


def _weight(row: ServiceRow) -> tuple[int, float]:
    return (-1 if row.state else _RANK[row.severity], -1.0 if row.cpu_percent is None else row.cpu_percent)


def _worst(rows: Sequence[ServiceRow], selected: object) -> ServiceRow:
    """The one that is selected until somebody chooses. The selected one stays as long as none is worse; of a master and
    a worker that are as bad, the worker is where something can be seen."""

    def badness(row: ServiceRow) -> tuple[int, bool]:
        return _weight(row)[0], row.worker

    most = max(map(badness, rows))
    those = [row for row in rows if badness(row) == most]
    return next((row for row in those if row.key == selected), those[0])


COLUMNS = (
    PID,
    name_column(14, 30, lambda r: not r.state),
    CPU,
    number_column("threads", "THREADS", 8, lambda r: r.threads, drop=3),
    number_column("requests", "IN WORK", 8, lambda r: r.requests, drop=2),
    Column("verdict", "VERDICT", 24, _verdict, most=200, want=40, sort=_weight),
    Column("came", "", 4, text_cell(lambda r: "new" if r.late else "", "dim"), drop=4),
)


class ProcessesScreen(ListScreen):
    DEFAULT_CSS = """
    ProcessesScreen #said { height: auto; max-height: 50%; }
    """

    class Chosen(Message):
        """The person wants to look closely at one."""

        def __init__(self, row: ServiceRow) -> None:
            super().__init__()
            self.row = row

    class Left(Message):
        """The person wants the list of all processes."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service, self.since = service, monotonic()

    def body(self) -> ComposeResult:
        yield Table(
            COLUMNS,
            lambda r: r.key,
            sort="verdict",
            id="workers",
            empty="nobody is there yet",
            haystack=lambda r: f"{r.pid} {r.name} {r.verdict} {r.state}".lower(),
        )
        yield Panel(id="said")

    def on_mount(self) -> None:
        self.table.first = _worst
        self.table.regroup = lambda rows, by, down: under_masters(rows, self.service.rows())
        self.begin(REFRESH_S)
        self.table.focus()

    @property
    def table(self) -> Table:
        return self.query_one("#workers", Table)

    def look(self) -> None:
        if self.is_current and not self.too_small:
            self.draw()

    def draw(self) -> None:
        palette, width = palette_of(self), self.app.size.width
        rows = self.service.rows()
        alive = [r for r in rows if r.state != "ended"]
        workers = sum(r.worker for r in alive)
        found = text.plural(len(alive), "process", "processes")
        if workers:
            found += f", {workers} of them {'a worker' if workers == 1 else 'workers'}"
        if ended := len(rows) - len(alive):
            found += f"; {ended} ended"
        badge = ("● LIVE", "ok") if self.service.live else ("▶ REPLAY", "info")
        own, budget = self.service.cost()
        begins = " while attaching" if own > budget and monotonic() - self.since < BEGINS_S else ""
        cost = (
            f" own cost {own:.1f} % of a core{begins}, budget {budget:g} %" if self.service.live else " of a recording"
        )
        room = width - cell_len(f" {badge[0]}   {found}") - 1
        name = (
            self.service.name if cell_len(self.service.name) <= room else fit_command(self.service.name, max(8, room))
        )
        title: list[Line] = [
            [Segment(f" {badge[0]} ", palette.badges[badge[1]]), Segment(f" {name}", palette.bar_bright),
             Segment(f"  {found}", palette.bar_dim)],
            [Segment(fit(cost, width), palette.bar_dim)],
        ]  # fmt: skip
        table = self.table
        table.set_rows(rows, depths(rows))
        lines: list[Line] = []
        row = table.current
        if row is not None and (row.state or row.verdict):
            lines += paragraph(f"{row.name} ({row.pid}): {row.state or row.verdict}", width - 3, palette.bright)
        for tone, words in self.service.said():
            lines += paragraph(words, width - 3, getattr(palette, tone))
        self.show(title, [[], *lines] if lines else [[]])

    def action_back(self) -> None:
        if self.query_one(FilterBar).display:
            super().action_back()
        else:
            self.post_message(self.Left())

    def on_table_moved(self, event: Table.Moved) -> None:
        self.draw()

    def on_table_opened(self, event: Table.Opened) -> None:
        self.post_message(self.Chosen(event.row))

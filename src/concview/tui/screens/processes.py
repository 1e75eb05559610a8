"""Several processes at once: which of the workers is it? Enter looks closely at one, and p comes back."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from concview import text
from concview.session.service import ServiceRow
from concview.tui import keys
from concview.tui.ports import Service
from concview.tui.screens.base import SizedScreen, TooSmall
from concview.tui.screens.picker import depths, under_masters
from concview.tui.text_render import Line, fit, paragraph
from concview.tui.theme import Palette, palette_of
from concview.tui.widgets.bars import Bar, Footer
from concview.tui.widgets.columns import Column, number_cell, text_cell
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.page import Panel
from concview.tui.widgets.table import Table

REFRESH_S = 0.5
_RANK = {"warn": 2, "info": 1, "": 0}
_MARK = {"warn": "▲ ", "info": "● ", "": ""}


def _number(value: float | None) -> str:
    return "-" if value is None else text.count(value)


def _less(value: float | None) -> float:
    return -1.0 if value is None else value


def _name(row: ServiceRow, width: int, palette: Palette, context: Any) -> Line:
    depth = (context or {}).get(row.pid, 0)
    branch = f"{'  ' * (min(depth, 4) - 1)}└ " if depth else ""
    return [Segment(fit(branch + row.name, width), palette.bright if not row.state else palette.dim)]


def _verdict(row: ServiceRow, width: int, palette: Palette, context: Any) -> Line:
    if row.state and not (row.state == "stopped" and row.verdict):
        return [Segment(fit(f"× {row.state}", width), palette.dim if row.state == "ended" else palette.warn)]
    if not row.verdict:
        return [Segment(fit("too little was seen yet", width), palette.faint)]
    tone = {"warn": palette.error, "info": palette.warn}.get(row.severity, palette.base)
    return [Segment(fit(_MARK[row.severity] + row.verdict, width), tone)]


def _weight(row: ServiceRow) -> tuple[int, float]:
    return (-1 if row.state else _RANK[row.severity], _less(row.cpu_percent))


COLUMNS = (
    Column("pid", "PID", 8, number_cell(lambda r: str(r.pid), "accent"), right=True, sort=lambda r: r.pid, down=False),
    Column("name", "NAME", 14, _name, most=30, sort=lambda r: r.name.lower(), down=False),
    Column("cpu", "CPU%", 6, number_cell(lambda r: _number(r.cpu_percent)), right=True, drop=1,
           sort=lambda r: _less(r.cpu_percent)),
    Column("threads", "THREADS", 8, number_cell(lambda r: _number(r.threads)), right=True, drop=3,
           sort=lambda r: _less(r.threads)),
    Column("requests", "IN WORK", 8, number_cell(lambda r: _number(r.requests)), right=True, drop=2,
           sort=lambda r: _less(r.requests)),
    Column("verdict", "VERDICT", 24, _verdict, most=200, want=40, sort=_weight),
    Column("came", "", 4, text_cell(lambda r: "new" if r.late else "", "dim"), drop=4),
)  # fmt: skip


class ProcessesScreen(SizedScreen):
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("picker")]
    DEFAULT_CSS = """
    ProcessesScreen { layout: vertical; padding: 0; }
    ProcessesScreen #title { height: 2; }
    ProcessesScreen Table { margin: 0 1; }
    ProcessesScreen #said { margin: 0 1; height: auto; max-height: 50%; }
    """

    class Chosen(Message):
        """The person wants to look closely at one."""

        def __init__(self, row: ServiceRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service

    def compose(self) -> ComposeResult:
        yield Bar(id="title")
        with Vertical(id="body"):
            yield Table(
                COLUMNS,
                lambda r: r.key,
                sort="verdict",
                id="workers",
                empty="nobody is there yet",
                haystack=lambda r: f"{r.pid} {r.name} {r.verdict} {r.state}".lower(),
            )
            yield Panel(id="said")
            yield FilterBar()
        yield Footer(id="footer")
        yield TooSmall()

    def on_mount(self) -> None:
        self.set_class(self.too_small, "-too-small")
        self.table.regroup = lambda rows, by, down: under_masters(rows, self.service.rows())
        self.set_interval(REFRESH_S, self.look)
        self.table.focus()
        self.call_after_refresh(self.fit_room)

    @property
    def table(self) -> Table:
        return self.query_one("#workers", Table)

    def look(self) -> None:
        if self.is_current:
            self.draw()

    def draw(self) -> None:
        if self.too_small:
            return
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
        cost = f" own cost {own:.1f} % of a core, budget {budget:g} %" if self.service.live else " of a recording"
        title: list[Line] = [
            [Segment(f" {badge[0]} ", palette.badges[badge[1]]), Segment(f" {self.service.name}", palette.bar_bright),
             Segment(f"  {found}", palette.bar_dim)],
            [Segment(fit(cost, width), palette.bar_dim)],
        ]  # fmt: skip
        self.query_one("#title", Bar).set_lines(title)
        table = self.table
        table.set_rows(rows, depths(rows))
        lines: list[Line] = []
        row = table.current
        if row is not None and (row.state or row.verdict):
            lines += paragraph(f"{row.name} ({row.pid}): {row.state or row.verdict}", width - 3, palette.bright)
        for tone, words in self.service.said():
            lines += paragraph(words, width - 3, getattr(palette, tone))
        self.query_one("#said", Panel).set_lines([[], *lines] if lines else [[]])
        self.query_one(FilterBar).count(table.matched, table.total)
        self.query_one(Footer).show(keys.footer(("open", "pick_filter", "pick_sort", "pick_back")))

    def fit_room(self) -> None:
        self.draw()

    def on_table_moved(self, event: Table.Moved) -> None:
        self.draw()

    def on_table_opened(self, event: Table.Opened) -> None:
        self.post_message(self.Chosen(event.row))

    # ------------------------------------------------------------ keys

    def action_filter(self) -> None:
        self.query_one(FilterBar).open()

    def action_sort(self) -> None:
        self.table.cycle_sort()

    def action_reverse(self) -> None:
        self.table.reverse()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.table.set_filter(event.value)
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.query_one(FilterBar).close(keep=True)
        self.table.focus()

    def action_back(self) -> None:
        bar = self.query_one(FilterBar)
        if bar.display:
            bar.close(keep=False)
            self.table.set_filter("")
            self.table.focus()
        self.draw()

    def restyle(self) -> None:
        self.table.restyle()
        self.fit_room()

"""Two programs side by side, on the same axes: a demo's bad and its fixed variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message

from concview.snapshot import Snapshot
from concview.tui import keys
from concview.tui.ports import ViewedSession
from concview.tui.screens.base import SizedScreen, TooSmall
from concview.tui.text_render import Line, beside, cut, fit, wrap
from concview.tui.theme import Palette, palette_of
from concview.tui.verdict import verdict
from concview.tui.widgets.bars import Bar, Footer
from concview.tui.widgets.causes import blame_bar, blame_legend, tree_lines, worth_drawing
from concview.tui.widgets.page import Page
from concview.tui.widgets.states import GAUGES, Gauge, bar, gauge_lines, gauge_values, legend

#: Seconds between two looks.
EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Side:
    """`title`: 'bad', 'fixed'."""

    title: str
    session: ViewedSession


def tops(snapshots: Sequence[Snapshot]) -> dict[str, float]:
    """For every number the end of the axis that all of them have room on."""
    found = {}
    for gauge in GAUGES:
        known = [v for s in snapshots for v in gauge_values(s, gauge) if v is not None]
        found[gauge.title] = max([gauge.least, *(v * gauge.air for v in known)])
    return found


def _numbers(snapshot: Snapshot, gauge: Gauge, width: int, top: float, palette: Palette) -> list[Line]:
    return gauge_lines(snapshot, gauge, width, 1, palette, top)


def side_lines(
    title: str, snapshot: Snapshot, axes: dict[str, float], width: int, palette: Palette
) -> list[list[Line]]:
    """Blocks of lines, as many for either side: verdict, time, causes, numbers."""
    said = verdict(snapshot)
    badge = f" {said.symbol} {said.word} "
    head: list[Line] = [
        [Segment(fit(f"{title}{f', pid {snapshot.target.pid}' if snapshot.target else ''}", width), palette.title)],
        [Segment(badge, palette.badges[said.tone])],
        *([Segment(part, palette.bright)] for part in cut(wrap(said.sentence, width), 4, width)),
    ]
    blame = snapshot.blame
    time: list[Line] = [[Segment("Time of its threads, of 100 %", palette.dim)]]
    causes: list[Line] = []
    if blame is not None:
        time += [blame_bar(blame, width, palette)] * 2 + blame_legend(blame, width, palette)
        causes = tree_lines(blame, width, palette, 6)[0] if worth_drawing(blame) else []
    else:
        time += [bar(snapshot.states, width, palette)] * 2 + legend(snapshot.states, width, palette)
    numbers = [line for g in GAUGES for line in _numbers(snapshot, g, width, axes[g.title], palette)]
    return [head, time, numbers, causes]


class Comparison(SizedScreen):
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("comparison")]
    DEFAULT_CSS = """
    Comparison { layout: vertical; }
    Comparison #page { margin: 0 1; height: 1fr; }
    """

    class Open(Message):
        """The dashboard of one of them."""

        def __init__(self, session: ViewedSession) -> None:
            super().__init__()
            self.session = session

    def __init__(self, title: str, sides: tuple[Side, Side]) -> None:
        super().__init__()
        self.named, self.sides = title, sides
        self._drawn: list[Snapshot] = []

    def compose(self) -> ComposeResult:
        yield Bar(id="title")
        yield Page(id="page")
        yield Footer(id="footer")
        yield TooSmall()

    def on_mount(self) -> None:
        self.set_class(self.too_small, "-too-small")
        self.set_interval(EVERY_S, self.poll)
        self.call_after_refresh(self.draw)

    def poll(self) -> None:
        shown = [side.session.snapshot() for side in self.sides]
        if not self._drawn or any(a is not b for a, b in zip(shown, self._drawn, strict=True)):
            self.draw()

    def fit_room(self) -> None:
        self.draw()

    def on_page_resized(self) -> None:
        self.draw()

    def draw(self) -> None:
        if self.too_small:
            return
        page, palette = self.query_one(Page), palette_of(self)
        shown = self._drawn = [side.session.snapshot() for side in self.sides]
        half = (page.room - 3) // 2
        axes = tops(shown)
        left, right = (
            side_lines(side.title, snapshot, axes, half, palette)
            for side, snapshot in zip(self.sides, shown, strict=True)
        )
        lines: list[Line] = []
        for one, other in zip(left, right, strict=True):
            lines += [*beside(one, other, half, " │ ", palette.faint), beside([[]], [], half, " │ ", palette.faint)[0]]
        page.set_lines(lines)
        if self.focused is None:
            page.focus()
        self.query_one("#title", Bar).set_lines(
            [
                [
                    Segment(" side by side ", palette.badges["info"]),
                    Segment(f" {self.named}, both on the same axes", palette.bar_bright),
                ]
            ]
        )
        self.query_one(Footer).show(keys.footer(("compare_left", "compare_right", "compare_lesson")))

    def action_open(self, number: int) -> None:
        self.post_message(self.Open(self.sides[number].session))

    def restyle(self) -> None:
        self.draw()

"""Lines with numbers that can be walked through: Enter leads from each to its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from concview.tui import keys
from concview.tui.text_render import Line
from concview.tui.theme import palette_of
from concview.tui.widgets.page import Panel


@dataclass(frozen=True, slots=True)
class Spot:
    """One number: the cells it stands in, the view that Enter leads to, and what is asked of that view."""

    id: str  #: the same in the next picture, wherever it stands then
    y: int
    x: int
    end: int
    view: str
    subject: Any = None


class Numbers(Panel, can_focus=True, inherit_bindings=False):
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("list")]

    class Opened(Message):
        def __init__(self, spot: Spot) -> None:
            super().__init__()
            self.spot = spot

    class Edge(Message):
        """A step beyond the last number."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.spots: Sequence[Spot] = ()
        self.chosen = ""
        self._plain: Sequence[Line] = ()

    def set_numbers(self, lines: Sequence[Line], spots: Sequence[Spot]) -> None:
        self._plain, self.spots = lines, spots
        self.can_focus = bool(spots)
        self._mark()

    @property
    def at(self) -> int:
        return next((i for i, spot in enumerate(self.spots) if spot.id == self.chosen), 0)

    def _mark(self) -> None:
        lines = list(self._plain)
        if self.has_focus and self.spots:
            spot, palette = self.spots[self.at], palette_of(self)
            whole = Strip(lines[spot.y])
            chosen = [Segment(s.text, (s.style or palette.base) + palette.select) for s in whole.crop(spot.x, spot.end)]
            lines[spot.y] = [*whole.crop(0, spot.x), *chosen, *whole.crop(spot.end, whole.cell_length)]
        self.set_lines(lines)

    def watch_has_focus(self, value: bool) -> None:
        super().watch_has_focus(value)
        self._mark()

    def choose(self, at: int) -> None:
        if self.spots:
            self.chosen = self.spots[max(0, min(at, len(self.spots) - 1))].id
            self._mark()

    def action_up(self) -> None:
        self.choose(self.at - 1)

    def action_down(self) -> None:
        if self.at >= len(self.spots) - 1:
            self.post_message(self.Edge())
        else:
            self.choose(self.at + 1)

    def action_top(self) -> None:
        self.choose(0)

    def action_bottom(self) -> None:
        self.choose(len(self.spots) - 1)

    action_page_up, action_page_down = action_top, action_bottom

    def action_open(self) -> None:
        if self.spots:
            self.post_message(self.Opened(self.spots[self.at]))

    def on_click(self, event: events.Click) -> None:
        for at, spot in enumerate(self.spots):
            if spot.y == event.y and spot.x <= event.x < spot.end:
                self.choose(at)
                if event.chain >= 2:
                    self.action_open()

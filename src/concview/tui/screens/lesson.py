"""A lesson over the dashboard: of a finding, or of the demo that runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen

from concview.tui.text_render import Line, paragraph
from concview.tui.theme import palette_of
from concview.tui.widgets.page import Page

#: Cells: longer lines are hard to read.
MOST_WIDTH = 92


class LessonScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,L,enter,q", "dismiss", "close the lesson", show=False),
    ]
    DEFAULT_CSS = """
    LessonScreen { align: center middle; background: $background 60%; }
    LessonScreen #box {
        width: 96%; max-width: 100; height: 94%;
        border: round $primary; padding: 0 1; background: $background;
    }
    """

    def __init__(self, title: str, sections: Sequence[tuple[str, str]]) -> None:
        """`sections`: heading ('' for none) and text."""
        super().__init__()
        self.named, self.sections = title, sections

    def compose(self) -> ComposeResult:
        with Container(id="box"):
            yield Page(id="lesson")

    def on_mount(self) -> None:
        self.call_after_refresh(self.draw)

    def on_page_resized(self) -> None:
        self.draw()

    def draw(self) -> None:
        page = self.query_one(Page)
        palette, width = palette_of(self), min(MOST_WIDTH, page.room)
        lines: list[Line] = paragraph(self.named, width, palette.bright)
        for heading, text in self.sections:
            if heading:
                lines += [[], [Segment(heading, palette.title)]]
            lines += paragraph(text, width, palette.base, 2 if heading else 0)
        lines += [[], [Segment("esc closes the lesson", palette.dim)]]
        page.set_lines(lines)
        page.focus()

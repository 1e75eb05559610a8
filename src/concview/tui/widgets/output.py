"""What the target prints, at the bottom of the dashboard: the dashboard itself has the terminal."""

from __future__ import annotations

from rich.segment import Segment
from textual.app import ComposeResult
from textual.containers import Vertical

from concview import text
from concview.tui.ports import Output
from concview.tui.text_render import Line
from concview.tui.theme import palette_of
from concview.tui.widgets.bars import Bar
from concview.tui.widgets.page import Page

#: Lines that can be scrolled back to; the ring behind may hold more, and `--output FILE` keeps all.
LINES = 1000
#: Shown from the start where the screen has so many rows; below, the views need the room.
ROOMY = 30


class OutputPane(Vertical):
    """Follows the end until somebody scrolls up. Costs nothing while nothing is printed."""

    DEFAULT_CSS = """
    OutputPane { height: 8; }
    OutputPane Page { padding: 0 1; }
    """

    def __init__(self, output: Output) -> None:
        super().__init__(id="output")
        self._output = output
        self._drawn = -1
        self._following = True  #: nobody has scrolled up since the end was shown

    def compose(self) -> ComposeResult:
        yield Bar(id="output-title")
        yield Page(id="output-lines")

    def on_mount(self) -> None:
        self.watch(self.query_one(Page), "scroll_y", self._scrolled, init=False)

    def _scrolled(self, before: float, now: float) -> None:
        # By where it stands alone it cannot be told: just after new lines it is not at their end yet.
        if now >= self.query_one(Page).max_scroll_y:
            self._following = True
        elif now < before:
            self._following = False

    def draw(self, anew: bool = False) -> None:
        """Show what came since; everything `anew` after a change of size or theme."""
        written = self._output.written
        if not self.display or not self.size.width or (written == self._drawn and not anew):
            return
        self._drawn = written
        page, palette = self.query_one(Page), palette_of(self)
        said = f" printed by the target: {text.size(written)}" if written else " the target has printed nothing yet"
        title: Line = [Segment(said, palette.bar), Segment("   O closes   tab, then arrows scroll", palette.bar_dim)]
        self.query_one(Bar).set_lines([title])
        page.set_lines([[Segment(line, palette.base)] for line in self._output.lines(LINES)])
        if self._following:
            page.scroll_end(animate=False)

    def on_page_resized(self, event: Page.Resized) -> None:
        event.stop()
        self.draw(anew=True)

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw, True)


__all__ = ["LINES", "ROOMY", "OutputPane"]

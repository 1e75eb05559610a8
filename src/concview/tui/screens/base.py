"""What all screens share: below 60x12 a plain sentence instead of a broken picture."""

from __future__ import annotations

from rich.segment import Segment
from textual import events
from textual.reactive import Reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from concview.tui import textual_private
from concview.tui.text_render import fit
from concview.tui.theme import palette_of

LEAST = (60, 12)


class TooSmall(Widget):
    DEFAULT_CSS = "TooSmall { display: none; width: 100%; height: 100%; }"

    def render_line(self, y: int) -> Strip:
        width, height = self.app.size
        palette = palette_of(self)
        if y != max(0, height // 2 - 1):
            return Strip.blank(width, palette.base)
        said = f"concview needs {LEAST[0]}x{LEAST[1]}; this terminal is {width}x{height}"
        if len(said) > width:
            said = f"needs {LEAST[0]}x{LEAST[1]}, has {width}x{height}"
        pad = max(0, (width - len(said)) // 2)
        return Strip([Segment(fit(" " * pad + said, width), palette.bright)])


class SizedScreen(Screen[None]):
    """A screen that gives way to `TooSmall` and comes back when there is room."""

    AUTO_FOCUS = ""  # each screen knows better what comes first
    #: Textual paints the whole screen anew when another widget gets the keyboard; the two widgets do that themselves.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    DEFAULT_CSS = """
    SizedScreen.-too-small > * { display: none; }
    SizedScreen.-too-small > TooSmall { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        textual_private.use_tight_compositor(self)

    @property
    def too_small(self) -> bool:
        return self.app.size.width < LEAST[0] or self.app.size.height < LEAST[1]

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(self.too_small, "-too-small")
        self.call_after_refresh(self.fit_room)

    def on_screen_resume(self) -> None:
        """What lay above, the palette for one, may have been drawn by Textual's own compositor."""
        textual_private.forget(self.app)

    def fit_room(self) -> None:
        """The room changed; draw what depends on it."""

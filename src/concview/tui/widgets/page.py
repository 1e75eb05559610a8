"""A scrolling page of prepared lines, and one that does not scroll. Only what changed is repainted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.actions import SkipAction
from textual.binding import BindingType
from textual.containers import Vertical
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input

from concview.tui import keys
from concview.tui.text_render import Line, differences
from concview.tui.theme import palette_of
from concview.tui.widgets.steady import Plain


def _differ(old: Strip, new: Strip, width: int) -> list[tuple[int, int]]:
    """Where a line differs. Lines are as long as their text, so a longer or shorter one differs up to the edge."""
    if old.cell_length == new.cell_length:
        return differences(old, new)
    return [(0, width)]


class Page(ScrollView, Plain, can_focus=True):
    """Lines are set by its view. `padding` cells stay free on both sides."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("page")]
    DEFAULT_CSS = """
    Page { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """

    class Resized(Message):
        """There is another width to make lines for."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lines: list[Strip] = []
        self._made_for = 0

    @property
    def room(self) -> int:
        """How wide lines may be: a scrollbar always has its place, so that its coming does not shift the text."""
        return max(8, self.container_size.width - 2 if self.container_size.width else self.size.width - 2)

    def on_resize(self) -> None:
        """Lines that were made for another width have to be made again."""
        if self.room != self._made_for:
            self.post_message(self.Resized())

    def set_lines(self, lines: Sequence[Line]) -> None:
        self._made_for = self.room
        strips = [Strip(line) for line in lines]
        size = Size(1, len(strips))
        before, self._lines = self._lines, strips
        if size != self.virtual_size:
            self.virtual_size = size
            self.refresh()
            return
        width, first = self.size.width, self.scroll_offset.y
        visible = range(first, min(first + self.size.height, len(strips)))
        changed = [
            Region(start, at - first, end - start, 1)
            for at in visible
            for start, end in _differ(before[at], strips[at], width)
        ]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        at = self.scroll_offset.y + y
        base = palette_of(self).base
        if at < len(self._lines):
            return self._lines[at].adjust_cell_length(self.size.width, base)
        return Strip.blank(self.size.width, base)

    def action_half_up(self) -> None:
        self.scroll_relative(y=-max(1, self.size.height // 2), animate=False)

    def action_half_down(self) -> None:
        self.scroll_relative(y=max(1, self.size.height // 2), animate=False)

    def action_match(self, step: int) -> None:
        """The next line that has what the view is filtered by; round at the end. Without a filter, or when it is a
        pattern, the key is somebody else's."""
        needle = self._needle()
        if not needle:
            raise SkipAction()
        here = self.scroll_offset.y
        found = [at for at, strip in enumerate(self._lines) if needle in strip.text.lower()]
        if found:
            further = [at for at in found if (at - here) * step > 0]
            self.scroll_to(y=(further or found)[0 if step > 0 else -1], animate=False)

    def _needle(self) -> str:
        fields = [w for a in self.ancestors if isinstance(a, Vertical) for w in a.query("FilterBar Input")]
        return next((f.value.strip().lower() for f in fields if isinstance(f, Input) and f.value.strip()), "")

    def as_text(self) -> list[str]:
        return [strip.text.rstrip() for strip in self._lines]


class Panel(Page, can_focus=False):
    """A page as high as its lines."""

    DEFAULT_CSS = """
    Panel { height: auto; overflow: hidden hidden; }
    """

    @property
    def room(self) -> int:
        return max(8, self.size.width)

    def set_lines(self, lines: Sequence[Line]) -> None:
        if len(lines) != len(self._lines):
            self.styles.height = len(lines)
        super().set_lines(lines)

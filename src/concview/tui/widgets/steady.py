"""What our widgets do with less work than Textual's: every key waits for it.

Both stand last among the bases of a class: its first is where Textual looks for the style sheet that it inherits.
"""

from __future__ import annotations

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget


class Steady(Widget):
    """Keeps its size while it is hidden, so that it can be drawn before it is laid out again: one paint then shows it.

    Textual says that a hidden widget has no size. Where another one comes of the layout, a Resize tells.
    """

    @property
    def size(self) -> Size:
        return super().size or self.outer_size - self.gutter.totals


class Plain(Steady):
    """Its lines are all there is, where it has neither border nor padding: no style sheet has to be asked for each."""

    def render_lines(self, crop: Region) -> list[Strip]:
        if self.gutter:
            return super().render_lines(crop)
        strips = [self.render_line(y) for y in crop.line_range]
        if crop.column_span != (0, self.outer_size.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        _, background = self.background_colors
        for line_filter in self.get_line_filters():
            strips = [strip.apply_filter(line_filter, background) for strip in strips]
        return strips

"""Fewer bytes to the terminal, and less work for them: only the cells that changed, a colour only where it changes.

Textual sends a changed span from the left edge of its widget on, and sets and resets the style of every segment anew;
for a table of live numbers that is five times what is needed, which is felt over ssh. And it renders what lies below
other widgets, and cuts every line at the edges of all of them, which a key then waits for.

What a terminal shows is known (`terminal.py`): what is drawn again as it was is not sent, and nothing is sent to one
that has not drawn the frame before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby

from rich.color import ColorSystem
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from textual._compositor import Compositor, CompositorUpdate
from textual.geometry import Region
from textual.strip import Strip

from concview.tui.textual_private.terminal import Terminal

_RESET = "\x1b[0m"
_PLAIN = Style()


@lru_cache(4096)
def _colours(style: Style, system: ColorSystem) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Codes of foreground and background, and whether nothing else is set."""
    fore = tuple(style.color.downgrade(system).get_ansi_codes(True)) if style.color else ()
    back = tuple(style.bgcolor.downgrade(system).get_ansi_codes(False)) if style.bgcolor else ()
    return fore, back, not style._attributes


@lru_cache(16384)
def transition(before: Style, after: Style, system: ColorSystem) -> str:
    """What leads from one style to another. `_PLAIN`: the state behind a reset."""
    fore, back, plain = _colours(before, system)
    new_fore, new_back, new_plain = _colours(after, system)
    if plain and new_plain and len(fore) <= len(new_fore) and len(back) <= len(new_back):
        codes = (*(new_fore if new_fore != fore else ()), *(new_back if new_back != back else ()))
        return f"\x1b[{';'.join(codes)}m" if codes else ""
    everything = after._make_ansi_codes(system)
    return f"\x1b[0;{everything}m" if everything else _RESET


class TightUpdate(CompositorUpdate):
    """`lines`: of every line of the screen what starts at which cell, in order. `spans`: line, first cell, end.
    `terminal`: what is shown there is not sent again; None: all of the spans is sent. `width`: of the screen."""

    def __init__(
        self,
        lines: Sequence[Mapping[int, Strip]],
        spans: Sequence[tuple[int, int, int]],
        terminal: Terminal | None = None,
        width: int = 0,
    ) -> None:
        self.lines, self.spans, self.terminal, self.width = lines, spans, terminal, width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Whole lines, for a picture of the screen: where the cursor goes is nothing to draw."""
        for line in self.lines:
            for strip in line.values():
                yield from strip
            yield Segment.line()

    def render_segments(self, console: Console) -> str:
        pen, terminal = _Pen(console._color_system or ColorSystem.TRUECOLOR), self.terminal
        for y, x1, x2 in self.spans:
            for x, strip in self.lines[y].items():
                end = x + strip.cell_length
                if x >= x2 or end <= x1:
                    continue
                start, stop = max(x, x1), min(end, x2)
                part = strip if (start, stop) == (x, end) else strip.crop(start - x, stop - x)
                if terminal is None:
                    pen.move(y, start)
                    for text, style, control in part:
                        if not control:
                            pen.write(text, style)
                    pen.x = stop
                    continue
                for column, cells in terminal.changes(y, start, part, self.width):
                    pen.move(y, column)
                    for style, run in groupby(cells, key=_style):
                        pen.write("".join(text for text, _ in run), style)
                    pen.x = column + len(cells)
        sent = pen.sent()
        return sent + terminal.flow.ask() if terminal is not None and sent else sent


def _style(cell: tuple[str, Style | None]) -> Style | None:
    return cell[1]


class _Pen:
    """Where the cursor is, and in which style it writes."""

    def __init__(self, system: ColorSystem) -> None:
        self.system = system
        self.out: list[str] = []
        self.style = _PLAIN
        self.y = self.x = -1

    def move(self, y: int, x: int) -> None:
        if y != self.y:
            self.out.append(f"\x1b[{y + 1};{x + 1}H")
        elif x != self.x:  # a column, not a distance: terminals do not agree with us about the width of every sign
            self.out.append(f"\x1b[{x + 1}G")
        self.y, self.x = y, x

    def write(self, text: str, style: Style | None) -> None:
        wanted = style or _PLAIN
        if wanted.link:
            # Rich knows how links are written.
            self.out += [transition(self.style, _PLAIN, self.system), wanted.render(text, color_system=self.system)]
            self.style = _PLAIN
            return
        if wanted is not self.style:
            self.out.append(transition(self.style, wanted, self.system))
            self.style = wanted
        self.out.append(text)

    def sent(self) -> str:
        if self.style is not _PLAIN:
            self.out.append(_RESET)
        return "".join(self.out)


class TightCompositor(Compositor):
    #: Gives the terminal that this is shown on; None where it is none of ours (a test, a browser).
    terminal: Callable[[], Terminal | None] | None = None
    #: Has what was held drawn after so many seconds, unless it was drawn before.
    later: Callable[[float], None] | None = None

    def _held(self) -> bool:
        """The terminal has not drawn the frame before: this one is not sent; what changed stays known."""
        terminal = self.terminal() if self.terminal is not None else None
        seconds = terminal.flow.late() if terminal is not None else 0.0
        if terminal is None or self.later is None:
            return False
        if not seconds:
            terminal.held = False
            return False
        if not terminal.held:
            terminal.held = True
            self.later(seconds)
        return True

    def render_partial_update(self) -> TightUpdate | None:  # type: ignore[override]
        if self._dirty_regions and self._held():
            return None
        regions, screen = self._dirty_regions.copy(), self.size.region
        self._dirty_regions.clear()
        spans = list(self._regions_to_spans(regions))
        if not spans:
            return None
        lines = {y for y, _, _ in spans}
        return TightUpdate(
            self._render_chops(Region.from_union(regions).intersection(screen), lines.__contains__),
            [span for span in spans if span[0] < screen.height],
            self.terminal() if self.terminal is not None else None,
            screen.width,
        )

    def render_full_update(self, simplify: bool = False) -> CompositorUpdate | None:  # type: ignore[override]
        if simplify:  # an export, which wants Rich's own form
            return super().render_full_update(simplify)
        if self._held():
            self._dirty_regions.add(self.size.region)
            return None
        self._dirty_regions.clear()
        width, height = self.size
        lines = self._render_chops(self.size.region, lambda y: True)
        terminal = self.terminal() if self.terminal is not None else None
        return TightUpdate(lines, [(y, 0, width) for y in range(height)], terminal, width)

    def _render_chops(self, crop: Region, is_rendered_line: Callable[[int], bool]) -> Sequence[Mapping[int, Strip]]:
        """From the front to the back; what is covered is neither rendered nor cut."""
        width, height = self.size
        lines: list[dict[int, Strip]] = [{} for _ in range(height)]
        free = {y: [(0, width)] for y in crop.line_range if 0 <= y < height and is_rendered_line(y)}
        for widget, (region, clip) in self.visible_widgets.items():
            area = region.intersection(clip)
            wanted = [
                y for y in area.line_range if any(start < area.right and area.x < end for start, end in free.get(y, ()))
            ]
            if not wanted or not area.overlaps(crop):
                continue
            top = wanted[0]
            strips = widget.render_lines(Region(area.x - region.x, top - region.y, area.width, wanted[-1] + 1 - top))
            for y in wanted:
                free[y] = _lay(strips[y - top], area.x, area.right, free[y], lines[y])
        return [dict(sorted(line.items())) for line in lines]


def _lay(
    strip: Strip, left: int, right: int, free: list[tuple[int, int]], line: dict[int, Strip]
) -> list[tuple[int, int]]:
    """Put a strip into a line where that is free. Returns what is still free."""
    rest = []
    for start, end in free:
        first, stop = max(start, left), min(end, right)
        if first >= stop:
            rest.append((start, end))
            continue
        line[first] = strip if (first, stop) == (left, right) else strip.crop(first - left, stop - left)
        if start < first:
            rest.append((start, first))
        if stop < end:
            rest.append((stop, end))
    return rest

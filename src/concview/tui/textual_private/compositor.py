"""Fewer bytes to the terminal, and less work for them: only the cells that changed, a colour only where it changes.

Textual sends a changed span from the left edge of its widget on, and sets and resets the style of every segment anew;
for a table of live numbers that is five times what is needed, which is felt over ssh. And it renders what lies below
other widgets, and cuts every line at the edges of all of them, which a key then waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from rich.color import ColorSystem
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from textual._compositor import Compositor, CompositorUpdate
from textual.geometry import Region
from textual.strip import Strip

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
    """`lines`: of every line of the screen what starts at which cell, in order. `spans`: line, first cell, end."""

    def __init__(self, lines: Sequence[Mapping[int, Strip]], spans: Sequence[tuple[int, int, int]]) -> None:
        self.lines, self.spans = lines, spans

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Whole lines, for a picture of the screen: where the cursor goes is nothing to draw."""
        for line in self.lines:
            for strip in line.values():
                yield from strip
            yield Segment.line()

    def render_segments(self, console: Console) -> str:
        system = console._color_system or ColorSystem.TRUECOLOR
        out: list[str] = []
        for y, x1, x2 in self.spans:
            at = -1  #: where the cursor is
            for x, strip in self.lines[y].items():
                end = x + strip.cell_length
                if x >= x2 or end <= x1:
                    continue
                start, stop = max(x, x1), min(end, x2)
                if start != at:
                    out.append(f"\x1b[{y + 1};{start + 1}H")
                part = strip if (start, stop) == (x, end) else strip.crop(start - x, stop - x)
                _write(part, system, out)
                at = stop
        return "".join(out)


def _write(strip: Strip, system: ColorSystem, out: list[str]) -> None:
    now = _PLAIN
    for text, style, control in strip:
        if control:
            continue
        wanted = style or _PLAIN
        if wanted.link:
            # Rich knows how links are written.
            out += [transition(now, _PLAIN, system), wanted.render(text, color_system=system)]
            now = _PLAIN
            continue
        if wanted is not now:
            out.append(transition(now, wanted, system))
            now = wanted
        out.append(text)
    if now is not _PLAIN:
        out.append(_RESET)


class TightCompositor(Compositor):
    def render_partial_update(self) -> TightUpdate | None:  # type: ignore[override]
        regions, screen = self._dirty_regions.copy(), self.size.region
        self._dirty_regions.clear()
        spans = list(self._regions_to_spans(regions))
        if not spans:
            return None
        lines = {y for y, _, _ in spans}
        return TightUpdate(
            self._render_chops(Region.from_union(regions).intersection(screen), lines.__contains__),
            [span for span in spans if span[0] < screen.height],
        )

    def render_full_update(self, simplify: bool = False) -> CompositorUpdate:  # type: ignore[override]
        if simplify:  # an export, which wants Rich's own form
            return super().render_full_update(simplify)
        self._dirty_regions.clear()
        width, height = self.size
        lines = self._render_chops(self.size.region, lambda y: True)
        return TightUpdate(lines, [(y, 0, width) for y in range(height)])

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

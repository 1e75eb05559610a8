"""The whole time that is kept, in a few lines: activity, findings, and the interval that is shown."""

from __future__ import annotations

import time

from rich.segment import Segment
from rich.style import Style

from concview import text
from concview.model import Severity
from concview.snapshot import Point, Timeline
from concview.tui.text_render import EIGHTHS, Line, cells, fit, seconds
from concview.tui.theme import SEVERITIES, Palette, palette_of
from concview.tui.widgets.bars import Bar

_POINT_NS = 500_000_000
_HELD, _COARSE = "━", "╌"


def _clock(line: Timeline, at_ns: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime((line.epoch_ns + at_ns) / 1e9))


def words(line: Timeline, end_ns: int, span_ns: int, detail_s: float | None, waits: bool, palette: Palette) -> Line:
    """Which interval this is, and what of it is known less exactly."""
    start = max(line.first_ns, end_ns - span_ns)
    out: Line = [
        Segment(f" {_clock(line, start)} to {_clock(line, end_ns)} ", palette.bar_bright),
        Segment(f" {seconds((end_ns - start) / 1e9)}", palette.bar),
        Segment(f" · kept: {seconds((line.last_ns - line.first_ns) / 1e9)}", palette.bar_dim),
    ]
    if waits:
        out.append(Segment(" · looking back …", palette.bar))
    elif detail_s is not None and detail_s < 0.05:
        out.append(Segment(" · coarse: only sums per thread are left, no locks, I/O and calls", palette.bar_bright))
    elif detail_s is not None and detail_s < (end_ns - start) / 1e9 - 1:
        said = f" · locks, I/O and calls: its last {text.duration(detail_s)}"
        out.append(Segment(said, palette.bar_bright))
    return out


def activity(points: tuple[Point, ...], line: Timeline, width: int) -> str:
    """CPU of the process over the kept time, one character a cell; the highest is the full height, at least a core."""
    span = max(1, line.last_ns - line.first_ns)
    levels = [-1.0] * width
    for point in points:
        if point.at_ns >= line.first_ns and point.cpu_percent is not None:
            last = min(width - 1, (point.at_ns - line.first_ns) * width // span)
            # A point stands for the half second before it, however wide that is here.
            for at in range(max(0, (point.at_ns - _POINT_NS - line.first_ns) * width // span), last + 1):
                levels[at] = max(levels[at], point.cpu_percent)
    top = max(100.0, *levels)
    return "".join(" " if v < 0 else EIGHTHS[max(1, min(8, round(v / top * 8)))] for v in levels)


def marks(line: Timeline, end_ns: int, span_ns: int, base_ns: int, width: int, palette: Palette) -> Line:
    """Findings by symbol, the interval between brackets, 'B' at the baseline."""
    span = max(1, line.last_ns - line.first_ns)

    def cell(at_ns: int) -> int:
        return max(0, min(width - 1, (at_ns - line.first_ns) * width // span))

    row = [
        (_HELD if line.first_ns + at * span // width >= line.detail_ns else _COARSE, palette.bar_dim)
        for at in range(width)
    ]
    for mark in sorted(line.marks, key=lambda m: m.severity is Severity.WARN):
        if mark.end_ns >= line.first_ns:
            style = palette.error if mark.severity is Severity.WARN else palette.warn
            if not palette.bar.reverse:
                style += Style(bgcolor=palette.bar.bgcolor)
            for at in range(cell(mark.start_ns), cell(mark.end_ns) + 1):
                row[at] = (SEVERITIES[mark.severity][0], style)
    first, last = cell(end_ns - span_ns), cell(end_ns)
    if base_ns >= line.first_ns:
        row[cell(base_ns)] = ("B", palette.bar_bright)
    chosen = palette.badges["info"]
    for at in range(first, last + 1):
        row[at] = (row[at][0], chosen)
    row[first], row[last] = ("[", chosen), ("]", chosen)
    if first == last:
        row[first] = ("|", chosen)
    return [Segment(glyph, style) for glyph, style in row]


class TimeBar(Bar):
    """Shown while paused. `show` draws; the lines become fewer where there is little room."""

    DEFAULT_CSS = "TimeBar { height: 3; width: 100%; display: none; }"

    def show(
        self,
        line: Timeline,
        end_ns: int,
        span_ns: int,
        detail_s: float | None = None,
        waits: bool = False,
        base_ns: int = -1,
    ) -> None:
        """`detail_s`: what the snapshot on screen says; None: it is the one of the pause. `waits`: it is being made."""
        palette, width = palette_of(self), self.size.width
        if width < 4:
            return
        said = words(line, end_ns, span_ns, detail_s, waits, palette)
        if cells(said) > width:
            said = [Segment(fit("".join(s.text for s in said), width), palette.bar)]
        room = width - 2
        edge = Segment(" ", palette.bar)
        self.set_lines(
            [
                said,
                [edge, Segment(activity(line.points, line, room), palette.bar), edge],
                [edge, *marks(line, end_ns, span_ns, base_ns, room, palette), edge],
            ]
        )

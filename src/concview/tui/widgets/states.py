"""States as pictures: the stacked bar with its legend, the strip of the last minute, the sparklines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from rich.segment import Segment

from concview import text
from concview.model import State
from concview.snapshot import Point, Shares, Snapshot
from concview.tui.text_render import Line, apportion, buckets, cells, fit, sparkline
from concview.tui.theme import GLYPHS, WORDS, Palette

#: Slices of half a second in a full strip (a minute) and a full series (two minutes).
STRIP_SLICES = 120
SERIES_SLICES = 240


def slice_number(snapshot: Snapshot) -> int:
    """The number of the last half second on the stream's clock: what strips and sparklines are aligned to."""
    at = snapshot.series[-1].at_ns if snapshot.series else snapshot.at_ns
    return at // 500_000_000


def bar(shares: Shares, width: int, palette: Palette) -> Line:
    sizes = apportion(shares, width)
    if not any(sizes):
        return [Segment("·" * width, palette.faint)]
    return [Segment(GLYPHS[State(at)] * size, palette.cells[at]) for at, size in enumerate(sizes) if size]


def legend(shares: Shares, width: int, palette: Palette) -> list[Line]:
    """'█ running 12 %' for every state that occurs, largest first, in as many lines as it takes."""
    lines: list[Line] = [[]]
    for at in sorted(range(len(shares)), key=lambda i: -shares[i]):
        if shares[at] < 0.0005:
            continue
        share = text.percent(shares[at]) if shares[at] >= 0.005 else "<1 %"
        word = f" {WORDS[State(at)]} "
        if lines[-1] and cells(lines[-1]) + len(word) + len(share) + 1 > width:
            lines.append([])
        lines[-1] += [
            Segment(GLYPHS[State(at)], palette.cells[at]),
            Segment(word, palette.dim),
            Segment(share, palette.bright),
            Segment("   ", palette.base),
        ]
    return lines


@lru_cache(8192)
def _slices(strip: tuple[int, ...], width: int, phase: int) -> tuple[int, ...]:
    """The dominant state of each cell; -1 where there was nothing yet."""
    per = max(1, -(-STRIP_SLICES // width))
    result = [-1] * width
    end = len(strip)
    edge = (phase + 1) % per or per  # slices in the newest, still growing cell
    for cell in range(width - 1, -1, -1):
        start = max(0, end - edge)
        part = [s for s in strip[start:end] if s >= 0]
        if part:
            # Of equals the later one: it says what the slice came to.
            result[cell] = max(reversed(part), key=part.count) if len(set(part)) > 1 else part[0]
        end, edge = start, per
        if end <= 0:
            break
    return tuple(result)


def strip_cells(strip: tuple[int, ...], width: int, phase: int, palette: Palette) -> Line:
    """The last minute of one thread, newest to the right."""
    line: Line = []
    for state, run in groupby(_slices(strip, width, phase)):
        length = sum(1 for _ in run)
        if state < 0:
            line.append(Segment(" " * length, palette.faint))
        else:
            line.append(Segment(GLYPHS[State(state)] * length, palette.cells[state]))
    return line


@dataclass(frozen=True, slots=True)
class Gauge:
    title: str
    value: Callable[[Point], float | None]
    say: Callable[[float], str]
    least: float  #: the top of the scale is never below this, so that noise stays flat
    state: State  #: whose colour it has
    air: float = 1.0  #: free space above the peak, for numbers without a natural top


def _run_delay(value: float) -> str:
    return f"{value * 1000:.0f} ms/s" if value < 0.9995 else f"{value:.1f} s/s"


GAUGES: tuple[Gauge, ...] = (
    Gauge("CPU", lambda p: p.cpu_percent, lambda v: f"{v:.0f} %", 100.0, State.RUNNING),
    Gauge("GIL held", lambda p: p.gil_held, lambda v: text.percent(v), 1.0, State.GIL),
    Gauge("GIL waiters", lambda p: p.gil_waiters, lambda v: f"{v:.1f}", 2.0, State.GIL),
    Gauge("Threads", lambda p: float(p.threads), lambda v: f"{v:.0f}", 4.0, State.IO, 1.6),
    Gauge("Switches/s", lambda p: p.switches_per_s, text.count, 100.0, State.IO, 1.25),
    Gauge("Run delay", lambda p: p.run_delay, _run_delay, 0.2, State.RUNNABLE),
)


def gauge_values(snapshot: Snapshot, gauge: Gauge) -> list[float | None]:
    return [gauge.value(p) for p in snapshot.series[-SERIES_SLICES:]]


def gauge_lines(
    snapshot: Snapshot, gauge: Gauge, width: int, rows: int, palette: Palette, top: float = 0.0
) -> list[Line]:
    """Title, picture, current value and peak of one number, in exactly `width` cells. `top`: the end of the axis, where
    it is not to come from the values."""
    values = gauge_values(snapshot, gauge)
    known = [v for v in values if v is not None]
    now = gauge.say(values[-1]) if values and values[-1] is not None else "n/a"
    peak = f"peak {gauge.say(max(known))}" if known else ""
    chart = max(4, width - 12 - 9 - 16)
    if chart < 10:
        chart, peak = max(4, width - 12 - 9), ""
    span = SERIES_SLICES if chart >= 40 else SERIES_SLICES // 2
    shown = buckets(values[-span:], chart, span, slice_number(snapshot))
    pictures = sparkline(shown, top or max([gauge.least, *(v * gauge.air for v in known)]), rows)
    lines: list[Line] = []
    for at, picture in enumerate(pictures):
        last = at == len(pictures) - 1
        tail: Sequence[Segment] = (
            [Segment(fit(now, 9, right=True), palette.bright), Segment(fit("  " + peak, 16), palette.faint)]
            if last
            else [Segment(" " * 25, palette.base)]
        )
        if not peak and not last:
            tail = [Segment(" " * 9, palette.base)]
        elif not peak:
            tail = tail[:1]
        title = gauge.title if last else ""
        line = [Segment(fit(title, 12), palette.dim), Segment(picture, palette.states[gauge.state]), *tail]
        used = cells(line)
        lines.append([*line, Segment(" " * max(0, width - used), palette.base)])
    return lines

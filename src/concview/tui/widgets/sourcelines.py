"""The source of one function with the time of every line beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.segment import Segment

from concview import text
from concview.analysis.calltree import Entry
from concview.tui.text_render import Line, fit, paragraph
from concview.tui.theme import Palette

#: Lines shown above the first and below the last that was seen, and most lines in all.
AROUND, MOST = 4, 400
_BAR = 6


def times_of(entries: Iterable[Entry], key: tuple[str, str, int]) -> dict[int, Entry]:
    """Line -> its entry, of the function that this key names."""
    return {e.key[2]: e for e in entries if e.key[0] == key[0] and e.key[1] == key[1]}


def believed(times: dict[int, Entry], source: Sequence[str]) -> bool:
    """Whether this file is what ran: every line that was sampled reads as it did then, and one has a text at all."""
    known = {n: e.frame.text for n, e in times.items() if e.frame.text}
    return bool(known) and all(n <= len(source) and text.clean(source[n - 1].strip()) == t for n, t in known.items())


def source_lines(
    times: dict[int, Entry], source: Sequence[str], seconds: float, width: int, palette: Palette
) -> tuple[list[Line], int]:
    """The lines, and which of them is the hottest. Bars and shares are of the function's own lines together."""
    if not times:
        return [[Segment(fit("no line of this call was seen", width).rstrip(), palette.dim)]], 0
    whole = max(1, sum(e.total_ns for e in times.values()))
    most = max(e.total_ns for e in times.values())
    first, last = max(1, min(times) - AROUND), max(times) + AROUND
    whole_file = believed(times, source)
    numbers = list(range(first, min(last, len(source), first + MOST) + 1)) if whole_file else sorted(times)[:MOST]
    lines: list[Line] = []
    if not whole_file:
        said = "The file cannot be read here, or changed since it ran: only lines that were sampled."
        lines += [*paragraph(said, width, palette.warn), []]
    hottest = 0
    for number in numbers:
        entry = times.get(number)
        if entry is not None and entry.total_ns == most:
            hottest = len(lines)
        shown = (
            text.clean(source[number - 1].rstrip().expandtabs(4)) if whole_file else entry.frame.text if entry else ""
        )
        lines.append(_line(number, entry, shown, whole, most, seconds, width, palette))
    return lines, hottest


def _line(
    number: int, entry: Entry | None, shown: str, whole: int, most: int, seconds: float, width: int, palette: Palette
) -> Line:
    room = max(0, width - _BAR - 18)
    if entry is None:
        head = [Segment(" " * (_BAR + 12), palette.base), Segment(f"{number:>5} ", palette.faint)]
        return [*head, Segment(fit(shown, room), palette.dim)]
    filled = max(1, round(entry.total_ns / most * _BAR))
    style = (
        palette.error if entry.total_ns * 4 > most * 3 else palette.warn if entry.total_ns * 4 > most else palette.info
    )
    per = f"{entry.total_ns / 1e6 / max(seconds, 1e-9):.0f}"
    return [
        Segment("█" * filled + " " * (_BAR - filled), style),
        Segment(fit(per, 6, right=True), palette.bright),
        Segment(fit(text.percent(entry.total_ns / whole), 6, right=True), palette.dim),
        Segment(f"{number:>5} ", style),
        Segment(fit(shown, room), palette.bright),
    ]

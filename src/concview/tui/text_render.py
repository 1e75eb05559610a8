"""Drawing on a character grid: text cut to width, wrapped text, bars and sparklines, all as Rich segments.

Everything on screen goes through `Segment`, never through markup, so a hostile string can only be ugly. Every segment
carries a style: Textual's monochrome filter (NO_COLOR) does not accept one without.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from concview.text import duration

Line = list[Segment]

EIGHTHS = " ▁▂▃▄▅▆▇█"


def fit(text: str, width: int, right: bool = False) -> str:
    """`text` in exactly `width` cells, cut with an ellipsis where it is longer."""
    if width <= 0:
        return ""
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if not text.isascii() else text[: width - 1] + "…"
    pad = " " * (width - length)
    return pad + text if right else text + pad


#: What is before a place keeps so many cells, and a third of them all: else the file's name is cut, too.
LEAST_BEFORE = 10
#: And so many of a file's name.
LEAST_FILE = 6


def fit_place(text: str, width: int, right: bool = False) -> str:
    """'function (file.py:37)' or 'file.py:37' in exactly `width` cells: a name is cut, never the line's number."""
    head, _, line = text.rpartition(":")
    room = width - len(line) - 1
    if cell_len(text) <= width or room < 4 or not line.rstrip(")").isdecimal():
        return fit(text, width, right)
    before, _, spot = text.rpartition(" (")
    least = min(cell_len(spot), LEAST_FILE + len(line) + 2)
    if before.endswith(")") and width >= LEAST_BEFORE + least + 2 and room < cell_len(before) + 2 + least - len(line):
        # Cut as one, the number would stand in brackets that are not the file's.
        kept = min(cell_len(spot), max(least, width - 2 - max(LEAST_BEFORE, width // 2)))
        return f"{fit(before, width - kept - 2)} ({fit_place(spot, kept)}"
    return f"{fit(head, room)}:{line}"


def fit_before_place(text: str, width: int) -> str:
    """The same for what the place says more of than the words before it: those are cut first."""
    before, _, spot = text.rpartition(" (")
    left = width - cell_len(spot) - 2
    if before and left >= max(LEAST_BEFORE, width // 3) and cell_len(text) > width:
        return f"{fit(before, left)} ({spot}"
    return fit_place(text, width)


def fit_command(text: str, width: int) -> str:
    """A command in exactly `width` cells, cut in its middle: servers are told apart by the application, which mostly
    comes last ('gunicorn -w 4 ... shop.wsgi:application')."""
    return fit_name(text, width, width // 2)


def fit_name(text: str, width: int, most: int = 6) -> str:
    """A name in exactly `width` cells, cut in its middle: its end often is a number that tells it from its like. `most`
    cells of its end stay, at most."""
    if width < 8 or cell_len(text) <= width:
        return fit(text, width)
    tail = min(most, width // 3 if most <= 6 else width - 4)
    if text.isascii():
        return f"{text[: width - tail - 1]}…{text[-tail:]}"
    end = text[-tail:]
    while cell_len(end) > tail:
        end = end[1:]
    return f"{set_cell_size(text, width - cell_len(end) - 1)}…{end}"


def seconds(amount: float) -> str:
    """Whole seconds: '12 s', '3 min 20 s'."""
    return f"{amount:.0f} s" if amount < 59.5 else duration(round(amount))


def cells(line: Iterable[Segment]) -> int:
    return sum(segment.cell_length for segment in line)


@lru_cache(512)
def wrap(text: str, width: int) -> tuple[str, ...]:
    """`text` in lines of at most `width` cells, broken at spaces where there are any. Indentation is kept."""
    width = max(width, 4)
    lines: list[str] = []
    for row in text.split("\n"):
        body = row.lstrip(" ")
        indent = " " * min(len(row) - len(body), width // 2)
        room = width - len(indent)
        current, used = "", 0
        for word in body.split(" "):
            length = cell_len(word)
            if used and used + 1 + length <= room:
                current, used = f"{current} {word}", used + 1 + length
                continue
            if used:
                lines.append(indent + current)
            *full, last = chop_cells(word, room) if length > room else [word]
            lines.extend(indent + part for part in full)
            current, used = last, cell_len(last)
        lines.append(indent + current)
    return tuple(lines)


def cut(parts: Sequence[str], most: int, width: int) -> list[str]:
    """At most `most` of these lines; an ellipsis says that there is more."""
    if len(parts) <= most:
        return list(parts)
    last = parts[most - 1]
    return [*parts[: most - 1], fit(last + " …", min(width, cell_len(last) + 2)).rstrip()]


def paragraph(text: str, width: int, style: Style, indent: int = 0) -> list[Line]:
    pad = " " * indent
    return [[Segment(pad + part, style)] for part in wrap(text, width - indent)]


def strip_of(line: Line, width: int, style: Style) -> Strip:
    """The line as a strip of exactly `width` cells."""
    return Strip(line).adjust_cell_length(width, style)


def signed(line: Line, width: int) -> Line:
    """The line in at most `width` cells; an ellipsis says where more was to come than blanks."""
    strip = Strip(line)
    if width < 1 or not strip.crop(width).text.strip():
        return line
    last = next((segment.style for segment in reversed(line) if segment.text.strip()), None)
    return [*strip.crop(0, width - 1), Segment("…", last)]


def differences(old: Strip | None, new: Strip) -> list[tuple[int, int]]:
    """The cells, from and to, in which a line differs from what is on screen: only these are sent to the terminal."""
    if old is None or old.cell_length != new.cell_length:
        return [(0, new.cell_length)] if new.cell_length else []
    if old is new or old == new:
        return []
    before, after = list(old), list(new)
    found: list[tuple[int, int]] = []
    i = j = at_old = at_new = 0
    start = -1  #: of a difference that is not yet at its end
    while i < len(before) and j < len(after):
        if at_old == at_new:
            same = before[i] == after[j]
            if same and start >= 0:
                found.append((start, at_new))
                start = -1
            elif not same and start < 0:
                start = at_new
        if at_old <= at_new:
            # Both steps only where both are at the same cell; else the one that is behind catches up.
            if at_old == at_new:
                at_new += after[j].cell_length
                j += 1
            at_old += before[i].cell_length
            i += 1
        else:
            at_new += after[j].cell_length
            j += 1
    if start >= 0:
        found.append((start, new.cell_length))
    return found


def beside(left: Sequence[Line], right: Sequence[Line], width: int, gap: str, style: Style) -> list[Line]:
    """Two blocks in columns; the left one takes `width` cells."""
    rows = []
    for at in range(max(len(left), len(right))):
        first = left[at] if at < len(left) else []
        cut = list(Strip(first).adjust_cell_length(width, style))
        rows.append([*cut, Segment(gap, style), *(right[at] if at < len(right) else [])])
    return rows


def apportion(shares: Sequence[float], width: int) -> list[int]:
    """Whole cells for each share, summing to `width` (largest remainder); what is not nothing gets a cell if it can."""
    total = sum(shares)
    if total <= 0 or width <= 0:
        return [0] * len(shares)
    exact = [share / total * width for share in shares]
    result = [int(value) for value in exact]
    order = sorted(range(len(shares)), key=lambda at: exact[at] - result[at], reverse=True)
    for at in order[: width - sum(result)]:
        result[at] += 1
    for at, share in enumerate(shares):
        largest = max(range(len(result)), key=result.__getitem__)
        if not result[at] and share / total >= 0.005 and result[largest] > 2:
            result[at] += 1
            result[largest] -= 1
    return result


def buckets(values: Sequence[float | None], width: int, span: int, phase: int) -> list[float | None]:
    """The last `span` values as `width` maxima. Buckets are aligned to `phase` (the number of the last value on an
    absolute clock), so that the picture moves by whole cells and does not shimmer."""
    per = max(1, -(-span // max(width, 1)))
    result: list[float | None] = [None] * width
    first = phase - len(values) + 1
    last = phase // per
    for at, value in enumerate(values):
        if value is None:
            continue
        cell = width - 1 - (last - (first + at) // per)
        if 0 <= cell < width:
            before = result[cell]
            result[cell] = value if before is None or value > before else before
    return result


def sparkline(values: Sequence[float | None], top: float, rows: int = 1) -> list[str]:
    """Columns of block characters, `rows` high; the first string is the top row. A missing value is blank."""
    steps = rows * 8
    lines = []
    levels = [
        0 if value is None else min(steps, max(1 if value >= 0 else 0, round(value / top * steps) if top > 0 else 1))
        for value in values
    ]
    for row in range(rows - 1, -1, -1):
        lines.append("".join(EIGHTHS[min(8, max(0, level - row * 8))] for level in levels))
    return lines

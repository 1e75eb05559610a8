"""The columns of a table: how they draw, and which of them are shown in how many cells."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment

from concview.tui.text_render import Line, fit, fit_place
from concview.tui.theme import Palette

#: Columns that go this early make room so that others get the width they want.
DISPENSABLE = 3


@dataclass(frozen=True, slots=True)
class Column:
    """`draw(row, width, palette, context)` gives segments of exactly `width` cells.

    `most` is how wide it may grow (0: not at all), `want` how wide it should be before less telling columns get
    room. Columns with the highest `drop` go first; 0 never goes.
    `sort` gives the value to sort by; `down` whether the largest comes first.
    """

    id: str
    title: str
    width: int
    draw: Callable[[Any, int, Palette, Any], Line]
    most: int = 0
    want: int = 0
    drop: int = 0
    right: bool = False
    sort: Callable[[Any], Any] | None = None
    down: bool = True
    #: What stands in a CSV file; True: what is drawn, without blanks around it. False: a picture, which is left out.
    data: Callable[[Any], str] | bool = True


def text_cell(value: Callable[[Any], str], style: str = "base") -> Callable[[Any, int, Palette, Any], Line]:
    """Draws plain text in one of the palette's styles."""

    def draw(row: Any, width: int, palette: Palette, context: Any) -> Line:
        return [Segment(fit(value(row), width), getattr(palette, style))]

    return draw


def place_cell(
    value: Callable[[Any], str], style: str = "dim", right: bool = False
) -> Callable[[Any, int, Palette, Any], Line]:
    """A place in the source, whose line's number is never cut."""

    def draw(row: Any, width: int, palette: Palette, context: Any) -> Line:
        return [Segment(fit_place(value(row), width, right), getattr(palette, style))]

    return draw


def number_cell(value: Callable[[Any], str], style: str = "base") -> Callable[[Any, int, Palette, Any], Line]:
    """The same, to the right; zero and missing values recede."""

    def draw(row: Any, width: int, palette: Palette, context: Any) -> Line:
        text = value(row)
        return [Segment(fit(text, width, right=True), palette.faint if text in ("0", "-") else getattr(palette, style))]

    return draw


#: What stands in a column for nothing.
BLANK = frozenset({"", "-", "–"})
#: What is in a column is counted in steps of so many cells, so that columns do not move all the time.
STEP = 4


def needed(column: Column, rows: Iterable[Any], palette: Palette, context: Any) -> int:
    """How many cells these rows fill of a column that may grow, in steps; at least its title's."""
    most = len(column.title) + 1  # with the arrow of what is sorted by
    for row in rows:
        drawn = "".join([s.text for s in column.draw(row, column.most, palette, context)])
        most = max(most, cell_len(drawn.strip() if column.right else drawn.rstrip()))
    return min(column.most, -(-most // STEP) * STEP)


def is_empty(column: Column, rows: Iterable[Any], palette: Palette, context: Any) -> bool:
    """Whether none of these rows has anything in a column."""
    return all("".join([s.text for s in column.draw(r, column.width, palette, context)]).strip() in BLANK for r in rows)


def layout(
    columns: Sequence[Column], width: int, needs: Mapping[str, int] | None = None, empty: Collection[str] = ()
) -> list[tuple[Column, int]]:
    """Which columns are shown in `width` cells, and how wide. One cell between neighbours. `needs`: cells that what is
    in a column fills, where it is known: none gets more while another lacks some. `empty`: columns without anything in
    them make room first."""
    needs = needs or {}
    shown = [replace(c, want=min(c.want, n), most=min(c.most, n)) if (n := needs.get(c.id)) else c for c in columns]

    def need(comfort: bool = False) -> int:
        return sum(max(c.width, c.want if comfort else 0) for c in shown) + len(shown) - 1

    while need(comfort=True) > width and any(c.id in empty for c in shown):
        shown.remove(max((c for c in shown if c.id in empty), key=lambda c: c.drop))
    while need(comfort=True) > width and any(c.drop >= DISPENSABLE for c in shown):
        shown.remove(max(shown, key=lambda c: c.drop))
    while need() > width and any(c.drop for c in shown):
        shown.remove(max(shown, key=lambda c: c.drop))
    widths = {c.id: c.width for c in shown}
    spare = width - need()
    for column in shown:
        grow = max(0, min(column.want - column.width, spare))
        widths[column.id] += grow
        spare -= grow
    growing = [c for c in shown if c.most > widths[c.id]]
    while spare > 0 and growing:
        # Evenly, a cell at a time would be slow for wide terminals; a share each, at least one.
        step = max(1, spare // len(growing))
        for column in list(growing):
            grow = min(step, column.most - widths[column.id], spare)
            widths[column.id] += grow
            spare -= grow
            if widths[column.id] >= column.most:
                growing.remove(column)
    if spare < 0 and shown:
        widest = max(shown, key=lambda c: widths[c.id])
        widths[widest.id] = max(1, widths[widest.id] + spare)
    return [(c, widths[c.id]) for c in shown]

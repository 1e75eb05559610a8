"""Rows that are processes: workers below their master, and the columns that every list of processes has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.segment import Segment

from concview import text
from concview.tui.text_render import Line, fit
from concview.tui.theme import Palette
from concview.tui.widgets.columns import Column, number_cell

#: How deep the branches of the tree are drawn; what is deeper stands where this does.
DEEPEST = 4


def depths(rows: Sequence[Any]) -> dict[int, int]:
    """pid -> how many of the processes in the list are above it."""
    parents = {row.pid: getattr(row, "parent", 0) for row in rows}
    found: dict[int, int] = {}
    for pid in parents:
        above, seen = parents[pid], {pid}
        while above in parents and above not in seen:
            seen.add(above)
            above = parents[above]
        found[pid] = len(seen) - 1
    return found


def under_masters(rows: Sequence[Any], every: Sequence[Any]) -> list[Any]:
    """Sorted rows with workers under their master, which stands where the first of its family would. A master that the
    filter left out is there all the same: of `every`."""
    by_pid = {row.pid: row for row in every}
    place: dict[int, int] = {}  #: of the first of its family
    below: dict[int, list[Any]] = {}
    roots: dict[int, int] = {}
    shown: set[int] = set()
    for at, row in enumerate(rows):
        seen: set[int] = set()
        while row.pid not in shown and row.pid not in seen:
            seen.add(row.pid)
            shown.add(row.pid)
            place.setdefault(row.pid, at)
            above = by_pid.get(getattr(row, "parent", 0))
            if above is None or above.pid in seen:
                roots[row.pid] = at
                break
            below.setdefault(above.pid, []).append(row)
            row = above
    out: list[Any] = []

    def put(row: Any) -> None:
        out.append(row)
        for child in sorted(below.get(row.pid, ()), key=lambda r: place[r.pid]):
            put(child)

    for pid in sorted(roots, key=lambda p: roots[p]):
        put(by_pid[pid])
    return out


def number_column(
    id: str,  # noqa: A002
    title: str,
    width: int,
    value: Callable[[Any], float | None],
    drop: int,
) -> Column:
    """A number that may be unknown: '-' then, and smaller than every other."""

    def shown(row: Any) -> str:
        number = value(row)
        return "-" if number is None else text.count(number)

    def order(row: Any) -> float:
        number = value(row)
        return -1.0 if number is None else number

    return Column(id, title, width, number_cell(shown), right=True, drop=drop, sort=order)


def branch(row: Any, context: Any) -> str:
    """'  └ ' before what stands below its master. `context`: what `depths` says."""
    depth = (context or {}).get(row.pid, 0)
    return f"{'  ' * (min(depth, DEEPEST) - 1)}└ " if depth else ""


def name_column(width: int, most: int, can_be_seen: Callable[[Any], bool], drop: int = 0) -> Column:
    """The name, behind a branch below its master's. The table's context: what `depths` says."""

    def draw(row: Any, cells: int, palette: Palette, context: Any) -> Line:
        return [
            Segment(fit(branch(row, context) + row.name, cells), palette.bright if can_be_seen(row) else palette.dim)
        ]

    return Column("name", "NAME", width, draw, most=most, drop=drop, sort=lambda r: r.name.lower(), down=False)


PID = Column("pid", "PID", 8, number_cell(lambda r: str(r.pid), "accent"), right=True, sort=lambda r: r.pid, down=False)
CPU = number_column("cpu", "CPU%", 6, lambda r: r.cpu_percent, drop=1)

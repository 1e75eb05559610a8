"""Exact calls as a table, and what is known of one function: its threads, whom it calls and who calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.segment import Segment

from concview import text
from concview.analysis.calls import Function, by_function
from concview.model import CallInfo, Calls
from concview.snapshot import Snapshot
from concview.tui.text_render import Line, fit
from concview.tui.theme import Palette
from concview.tui.widgets.columns import Column, number_cell, place_cell
from concview.tui.widgets.table import Table

#: Rows of each part of the detail; the rest is counted.
MOST = 12


class Counted:
    """The functions of one `Calls`, added up once."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.timed = calls.clock != "none"
        self.functions: dict[int, Function] = by_function(calls.rows)
        self.rows: list[tuple[int, Function]] = list(self.functions.items())

    def find(self, function: str, file: str, line: int) -> int | None:
        """The index of the function that a sampled frame is in: its name and file, beginning at or above the line."""
        name = function.rpartition(".")[2]
        fits = [(f.line, i) for i, f in self.rows if f.file == file and f.name.rpartition(".")[2] == name]
        above = [known for known in fits if known[0] <= line]
        return max(above)[1] if above else None

    def threads(self, index: int) -> list[CallInfo]:
        one = self.functions[index]
        rows = [r for r in self.calls.rows if (r.function, r.file, r.line) == (one.name, one.file, one.line)]
        return sorted(rows, key=lambda r: (-r.own_s, -r.calls))

    def callers(self, index: int) -> list[tuple[int, int, float]]:
        """(index of the caller, calls, total seconds)."""
        found = [(i, *f.callees[index][::2][:2]) for i, f in self.rows if index in f.callees]
        return sorted(((i, int(n), float(s)) for i, n, s in found), key=lambda c: (-c[2], -c[1]))


def _time(value: float, timed: bool) -> str:
    if not timed:
        return "n/a"
    return f"{value * 1e9:.0f} ns" if 0 < value < 1e-6 else text.duration(value)


def _timed(which: str) -> Any:
    def draw(row: tuple[int, Function], width: int, palette: Palette, context: Counted) -> Line:
        value = getattr(row[1], which)
        said = _time(value, context.timed)
        return [Segment(fit(said, width, right=True), palette.base if context.timed and value else palette.faint)]

    return draw


def _function(row: tuple[int, Function], width: int, palette: Palette, context: Any) -> Line:
    return [Segment(fit(row[1].name, width), palette.bright if row[1].line else palette.dim)]


def _threads(row: tuple[int, Function], width: int, palette: Palette, context: Counted) -> Line:
    said = str(len(row[1].threads)) if context.timed else "n/a"
    return [Segment(fit(said, width, right=True), palette.base if context.timed else palette.faint)]


def _place(row: tuple[int, Function]) -> str:
    one = row[1]
    return f"{text.file_name(one.file)}:{one.line}" if one.line else "built in"


COLUMNS = (
    Column("name", "FUNCTION", 18, _function, most=60, sort=lambda r: r[1].name, down=False),
    Column("calls", "CALLS", 7, number_cell(lambda r: text.count(r[1].calls)), right=True, sort=lambda r: r[1].calls),
    Column("own", "OWN", 8, _timed("own_s"), right=True, sort=lambda r: r[1].own_s),
    Column("total", "TOTAL", 8, _timed("total_s"), right=True, sort=lambda r: r[1].total_s),
    Column("average", "AVERAGE", 8, _timed("average_s"), right=True, sort=lambda r: r[1].average_s),
    Column(
        "threads", "THR", 4, _threads, drop=2, right=True,
        sort=lambda r: len(r[1].threads),
    ),
    Column("place", "FILE", 12, place_cell(_place, right=True), most=30, drop=1, right=True, sort=_place, down=False),
)  # fmt: skip


def exact_table(id: str) -> Table:  # noqa: A002
    return Table(
        COLUMNS,
        lambda r: r[1].key,
        haystack=lambda r: f"{r[1].name} {r[1].file}".lower(),
        sort="own",
        id=id,
        empty="no calls have been counted",
    )


def as_line(row: tuple[int, Function], timed: bool) -> str:
    one = row[1]
    times = f", own {text.duration(one.own_s)}, total {text.duration(one.total_s)}" if timed else ""
    return f"{one.name} ({one.file}:{one.line}): {one.calls} calls{times}"


def _row(head: str, calls: int, total: float, timed: bool, width: int, palette: Palette) -> Line:
    return [
        Segment(fit(f"  {head}", max(10, width - 24)), palette.base),
        Segment(f"{text.count(calls):>10}", palette.bright),
        Segment(f"{_time(total, timed):>12}", palette.bright if timed else palette.faint),
    ]


def _part(title: str, rows: list[tuple[str, int, float]], timed: bool, width: int, palette: Palette) -> list[Line]:
    if not rows:
        return []
    head = [
        Segment(fit(title, max(10, width - 24)), palette.title),
        Segment(f"{'calls':>10}{'total':>12}", palette.dim),
    ]
    lines = [head, *(_row(*row, timed, width, palette) for row in rows[:MOST])]
    if len(rows) > MOST:
        lines.append([Segment(f"  and {len(rows) - MOST} more", palette.dim)])
    return [*lines, []]


def detail(counted: Counted, index: int, snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    function = counted.functions[index]
    place = f"{text.short_path(function.file, max(12, width - 30))}:{function.line}" if function.line else "built in"
    name = fit(function.name, min(len(function.name) * 2, max(10, width - len(place) - 2))).rstrip()
    lines: list[Line] = [[Segment(name, palette.bright), Segment(f"  {place}", palette.accent)], []]
    threads = [(_thread(snapshot, r.tid), r.calls, r.total_s) for r in counted.threads(index)]
    lines += _part("By thread", threads, counted.timed, width, palette)
    if not counted.timed:
        return [*lines, [Segment("sys.monitoring counts calls; it knows no times and no threads.", palette.dim)]]
    if counted.calls.running:
        return [*lines, [Segment("Who calls whom is known when the window ends.", palette.dim)]]
    functions = counted.functions
    callers = [(functions[i].name, n, s) for i, n, s in counted.callers(index)]
    callees = _callees(function, functions)
    return [
        *lines,
        *_part("Called by", callers, True, width, palette),
        *_part("Calls", callees, True, width, palette),
    ]


def _callees(function: Function, functions: Mapping[int, Function]) -> list[tuple[str, int, float]]:
    found = [(functions[i].name, n, total) for i, (n, _, total, _) in function.callees.items() if i in functions]
    return sorted(found, key=lambda c: (-c[2], -c[1]))


def _thread(snapshot: Snapshot, tid: int) -> str:
    thread = snapshot.thread(tid) if tid else None
    return thread.name if thread is not None else f"thread {tid}" if tid else "all threads, or one that has ended"

"""asyncio tasks as a table, and what is known of one: the chain of what it awaits, its age, where it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.segment import Segment

from concview import text
from concview.model import Await, LoopInfo, TaskInfo, Tasks
from concview.snapshot import Snapshot
from concview.source.origin import origin
from concview.tui.text_render import Line, fit, paragraph
from concview.tui.theme import Palette
from concview.tui.widgets.columns import Column, number_cell, place_cell, text_cell
from concview.tui.widgets.table import Table

#: A loop that is later than this is worth a colour (seconds): asyncio's own debug mode reports from there on.
LATE_S = 0.1
DEBUG = "start the program with PYTHONASYNCIODEBUG=1, or loop.set_debug(True), and the loop remembers where"


@dataclass(frozen=True, slots=True)
class Row:
    task: TaskInfo
    loop: LoopInfo
    at: int  #: position among the loop's tasks

    @property
    def key(self) -> tuple[int, str, int]:
        # Names are unique unless the program gives the same one twice.
        return (self.loop.tid, self.task.name, self.at if not self.task.name else 0)


def rows(tasks: Tasks | None) -> list[Row]:
    return [Row(t, loop, at) for loop in (tasks.loops if tasks else ()) for at, t in enumerate(loop.tasks)]


def place(at: Await | None) -> str:
    return f"{at.function} ({text.file_name(at.file)}:{at.line})" if at is not None else ""


def waits_at(task: TaskInfo) -> str:
    """The innermost line outside asyncio itself: that it waits in wait_for says little."""
    own = [a for a in task.chain if origin(a.file) not in ("stdlib", "frozen")] or list(task.chain[-1:])
    return place(own[-1]) if own else "not known"


def runs(task: TaskInfo) -> str:
    return task.chain[0].function if task.chain else "not known"


def _state(row: Row, width: int, palette: Palette, context: Any) -> Line:
    style = {"running": palette.ok, "ready": palette.warn, "waiting": palette.base}.get(row.task.state, palette.dim)
    return [Segment(fit(row.task.state, width), style)]


COLUMNS = (
    Column("name", "TASK", 10, text_cell(lambda r: r.task.name or "unnamed", "bright"), most=28,
           sort=lambda r: r.task.name, down=False),
    Column("state", "STATE", 8, _state, sort=lambda r: r.task.state, down=False),
    Column("age", "AGE", 10, number_cell(lambda r: text.duration(r.task.age_s)), right=True,
           sort=lambda r: r.task.age_s),
    Column("runs", "RUNS", 14, place_cell(lambda r: runs(r.task), "base"), most=36, drop=1, sort=lambda r: runs(r.task),
           down=False),
    Column("waits", "WAITS AT", 18, place_cell(lambda r: waits_at(r.task)), most=70,
           sort=lambda r: waits_at(r.task), down=False),
)  # fmt: skip


def task_table(id: str) -> Table:  # noqa: A002
    return Table(
        COLUMNS,
        lambda r: r.key,
        haystack=lambda r: f"{r.task.name} {' '.join(f'{a.function} {a.file}' for a in r.task.chain)}".lower(),
        sort="age",
        id=id,
        empty="no running event loop of asyncio was seen",
    )


def loop_lines(loops: Sequence[LoopInfo], snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    """A line for each loop, at most three: how late it is, and how much there is to do."""
    lines: list[Line] = []
    for loop in loops[:3]:
        thread = snapshot.thread(loop.tid)
        who = thread.name if thread is not None else f"thread {loop.tid}"
        lag = "not known yet" if loop.lag_s < 0 else text.duration(loop.lag_s)
        style = palette.warn if loop.lag_s >= LATE_S else palette.ok
        facts = f"{text.plural(loop.count, 'task')}, {loop.ready} ready, {loop.timers} timers"
        told = len(loop.tasks)
        more = f"; the {told} oldest are listed" if loop.count > told else ""
        lines.append(
            [
                Segment(fit(f"Loop of {who}", min(len(who) + 8, max(10, width - 50))), palette.title),
                Segment("  lag ", palette.dim),
                Segment(lag, style),
                Segment(fit(f"  {facts}{more}", max(0, width - 30 - len(who))).rstrip(), palette.dim),
            ]
        )
    if len(loops) > 3:
        lines.append([Segment(f"and {text.plural(len(loops) - 3, 'more loop')}", palette.dim)])
    return lines


def detail(row: Row, width: int, palette: Palette) -> list[Line]:
    task = row.task
    name = fit(task.name or "unnamed", min(max(8, len(task.name)), max(8, width - 40)))
    lines: list[Line] = [
        [
            Segment(name, palette.bright),
            Segment(f"  {task.state}, seen for {text.duration(task.age_s)}", palette.dim),
        ],
        [],
        [Segment("Await chain", palette.title), Segment(", the task's own coroutine first", palette.dim)],
    ]
    for depth, at in enumerate(task.chain):
        mark = "  " + ("  " * min(depth, 6)) + ("└ " if depth else "")
        shown = f"{text.short_path(at.file, max(12, width // 2))}:{at.line}"
        lines.append(
            [
                Segment(mark, palette.faint),
                Segment(
                    fit(at.function, max(6, min(len(at.function), width - len(mark) - len(shown) - 2))), palette.base
                ),
                Segment(f"  {shown}", palette.accent),
            ]
        )
    if not task.chain:
        lines.append([Segment("  its coroutine is not written in Python", palette.dim)])
    lines += [[], [Segment("Made", palette.title)]]
    if task.created_file:
        lines.append(
            [Segment(f"  {text.short_path(task.created_file, width - 12)}:{task.created_line}", palette.accent)]
        )
    elif row.loop.debug:
        lines.append([Segment("  the loop did not remember where", palette.dim)])
    else:
        lines += paragraph(f"not known: {DEBUG}", width, palette.dim, 2)
    return lines


def as_line(row: Row) -> str:
    chain = " > ".join(place(a) for a in row.task.chain)
    return f"{row.task.name}: {row.task.state} for {text.duration(row.task.age_s)}: {chain}"

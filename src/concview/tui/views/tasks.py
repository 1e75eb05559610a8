"""Tab T: tasks of asyncio and trio, by coroutine function and what they do; those in others' way first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment

from concview import text
from concview.model import TaskState
from concview.snapshot import AioView, Snapshot, TaskGroupView
from concview.tui.text_render import Line, fit, paragraph
from concview.tui.theme import Palette, palette_of
from concview.tui.views.base import NOTHING_YET, TableView, ViewSpec
from concview.tui.widgets.aio import (
    JUST_NOW,
    beside,
    holds_lines,
    loop_line,
    shared_line,
    since,
    state_line,
    style_of,
    unseen,
)
from concview.tui.widgets.columns import Column, number_cell, text_cell
from concview.tui.widgets.table import Table

#: Tasks of a group in the detail, and things that tasks wait at.
_MOST, _SHARED = 20, 6
NONE_SEEN = "no tasks of asyncio or trio were seen"


def _state(group: TaskGroupView, width: int, palette: Palette, context: Any) -> Line:
    return [Segment(fit(group.state.name.lower(), width), style_of(group.state, palette))]


def _behind(group: TaskGroupView, width: int, palette: Palette, context: Any) -> Line:
    return [Segment(fit(str(group.behind), width, right=True), palette.warn if group.behind else palette.faint)]


def _coroutine(group: TaskGroupView, width: int, palette: Palette, context: Any) -> Line:
    """Short of room without its class, then without its place: tasks of one server have these in common."""
    full = _function(group)
    method = full.partition(" (")[0].rpartition(".")[2]
    for said in (full, full.replace(full.partition(" (")[0], method, 1), method):
        if cell_len(said) <= width:
            break
    return [Segment(fit(said, width), palette.bright)]


def _longest(group: TaskGroupView) -> str:
    return text.duration(group.longest_s) if group.longest_s > 0 else JUST_NOW


def _function(group: TaskGroupView) -> str:
    bare = group.function.replace("<locals>.", "")
    return f"{bare} ({text.file_name(group.file)}:{group.line})" if group.file else bare


COLUMNS = (
    Column("now", "NOW", 5, number_cell(lambda g: str(g.now), "bright"), right=True, sort=lambda g: g.now),
    Column("mean", "MEAN", 6, number_cell(lambda g: text.count(round(g.mean, 1))), right=True, drop=3,
           sort=lambda g: g.mean),
    Column("function", "COROUTINE", 16, _coroutine, most=44, sort=lambda g: g.function,
           down=False),
    Column("state", "STATE", 8, _state, sort=lambda g: g.state.name, down=False),
    Column("behind", "BEHIND", 6, _behind, right=True, sort=lambda g: g.behind),
    Column("longest", "LONGEST", 9, number_cell(_longest), right=True, drop=2,
           sort=lambda g: g.longest_s),
    Column("what", "WHAT", 20, text_cell(lambda g: g.what), most=90, sort=lambda g: g.what, down=False),
)  # fmt: skip


def _key(group: TaskGroupView) -> tuple[object, ...]:
    return group.file, group.line, group.function, group.state, group.via, group.at_file, group.at_line


class TasksView(TableView):
    DEFAULT_CSS = "TasksView #detail { border-top: solid $panel; }"

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[int, str] = {}  #: of the tasks that are told one by one, by id, in small letters

    def table(self) -> Table:
        return Table(COLUMNS, _key, id="list", haystack=self._haystack)

    def _haystack(self, group: TaskGroupView) -> str:
        names = " ".join(self._names.get(id_, "") for id_ in group.tasks)
        return f"{group.function} {group.file} {group.state.name} {group.what} {names}".lower()

    def _found_first(self, group: TaskGroupView) -> list[int]:
        """Ids of its tasks; those of which the filter has the name come first."""
        needle = self.grid.needle.strip().lower()
        return sorted(group.tasks, key=lambda id_: not needle or needle not in self._names.get(id_, ""))

    def rows(self, snapshot: Snapshot) -> Sequence[TaskGroupView]:
        aio = snapshot.aio
        self._names = {task.id: task.name.lower() for task in aio.tasks} if aio is not None else {}
        more = aio is not None and aio.alive > len(self._names)
        self.grid.beyond = f"; names are known here of {len(self._names)} of {aio.alive} tasks" if aio and more else ""
        return aio.groups if aio is not None else ()

    def why_empty(self, snapshot: Snapshot) -> str:
        if snapshot.target is None:
            return NOTHING_YET
        if snapshot.aio is not None and (told := unseen(snapshot.aio)):
            return told[0]
        able = snapshot.capabilities.get("tasks")
        if able is not None and not able.available:
            return f"tasks cannot be read: {able.why}; {able.enable}"
        return NONE_SEEN

    def detail(self, row: Any, snapshot: Snapshot, width: int) -> list[Line] | None:
        aio = snapshot.aio
        if row is None or aio is None:
            return None
        group: TaskGroupView = row
        palette = palette_of(self)
        lines: list[Line] = [state_line(aio, width, palette)]
        lines += [loop_line(loop, width, palette) for loop in aio.loops[:3]]
        for said in unseen(aio):
            lines += paragraph(f"not seen: {said}", width, palette.warn)
        one = next((o for o in aio.objects if group.object and o.id == group.object), None)
        if one is not None:
            lines += [[], shared_line(one, width, palette)]
        mine = self._found_first(group)
        first = next((t for t in map(aio.task, mine) if t is not None), None)
        if first is None:
            return [*lines, [], [Segment("none of them is there now", palette.dim)]]
        lines += [[], *paragraph(first.reason, width, palette.bright)]
        if first.because and first.state is not TaskState.RUNNING:
            lines += paragraph(f"because {first.because}", width, palette.dim)
        lines += [[], *beside(first, aio, width, palette)]
        held = holds_lines(first, aio, width, palette)
        if held:
            lines += [[], [Segment("Holds", palette.title)], *held]
        lines += [[], [Segment(f"{text.plural(group.now, 'task')} like this", palette.title)]]
        told = [t for t in map(aio.task, mine) if t is not None]
        for task in told[:_MOST]:
            lines.append(
                [
                    Segment(f"  {fit(task.name, 24)}", palette.base),
                    Segment(fit(since(task), 10, right=True), palette.bright),
                    Segment(f"  {fit(task.reason, max(0, width - 38)).rstrip()}", palette.dim),
                ]
            )
        if group.now > min(len(told), _MOST):
            lines.append([Segment(f"  and {group.now - min(len(told), _MOST)} more", palette.dim)])
        return lines + _shared(aio, group.object, width, palette)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Enter leads to the first of them: its await tree, and who is in its way."""
        event.stop()
        aio = self.snapshot.aio if self.snapshot is not None else None
        those = self._found_first(event.row)
        first = next((t for t in those if aio is not None and aio.task(t) is not None), 0)
        if first:
            self.post_message(self.Goto("task", first))
        else:
            self.app.notify("none of these tasks is there now", markup=False, timeout=3)

    def selection(self) -> str:
        row = self.grid.current
        if not isinstance(row, TaskGroupView):
            return ""
        return f"{text.plural(row.now, 'task')} of {_function(row)}, {row.state.name.lower()}: {row.what}"


def _shared(aio: AioView, chosen: int, width: int, palette: Palette) -> list[Line]:
    others = [o for o in aio.objects if o.id != chosen and (o.waiting or o.waiters_mean >= 0.05)][:_SHARED]
    if not others:
        return []
    head: Line = [Segment("What else tasks wait at", palette.title)]
    return [[], head, *(shared_line(o, width, palette) for o in others)]


def _mark(snapshot: Snapshot) -> str:
    behind = sum(g.behind for g in snapshot.aio.groups) if snapshot.aio is not None else 0
    return f"×{behind}" if behind else ""


VIEW = ViewSpec("tasks", 10, "Tasks", TasksView, _mark, present=lambda snapshot: snapshot.aio is not None)

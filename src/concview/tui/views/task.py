"""One task: what it waits for with the holder beside it, the tree of what awaits what, what it holds, its time."""

from __future__ import annotations

from rich.segment import Segment

from concview import text
from concview.model import TaskState
from concview.snapshot import AioView, Snapshot, TaskView
from concview.tui.text_render import Line, fit, paragraph
from concview.tui.theme import Palette, palette_of
from concview.tui.views.base import NOTHING_YET, OfOne, ViewSpec
from concview.tui.widgets.aio import beside, holds_lines, lasting, shared_line, style_of, tree
from concview.tui.widgets.page import Page


def _head(task: TaskView, aio: AioView, width: int, palette: Palette) -> list[Line]:
    loop = next((x for x in aio.loops if x.id == task.loop), None)
    where = f" · in {loop.thread}" if loop is not None and loop.thread else ""
    function = f" · {task.function.replace('<locals>.', '')}" if task.function else ""
    facts = f"{function}{where} · {text.duration(task.age_s)} old"
    name = fit(task.name, min(len(task.name), max(8, width - 30))).rstrip()
    lines: list[Line] = [
        [Segment(name, palette.bright), Segment(fit(facts, max(0, width - len(name))).rstrip(), palette.dim)],
        [Segment(task.state.name.lower(), style_of(task.state, palette)), Segment(f" {lasting(task)}", palette.base)],
    ]
    if task.due_s is not None and task.due_s > 0:
        ends = "due" if task.state is TaskState.SLEEP else "gives up"
        lines[-1].append(Segment(f", {ends} in {text.duration(task.due_s)}", palette.dim))
    lines += paragraph(task.reason, width, palette.bright)
    if task.because and task.state not in (TaskState.RUNNING, TaskState.SLEEP):
        lines += paragraph(f"because {task.because}", width, palette.dim)
    return lines


class Task(OfOne):
    keys = ("back", "open_holder", "pause", "copy")

    def _found(self, snapshot: Snapshot) -> TaskView | None:
        return snapshot.aio.task(self.tid) if snapshot.aio is not None else None

    def draw(self, snapshot: Snapshot) -> None:
        page = self.query_one(Page)
        palette, width = palette_of(self), page.room
        task, aio = self._found(snapshot), snapshot.aio
        if task is None or aio is None:
            gone = "This task has ended, or is not among those that are told now. esc goes back."
            page.set_lines(paragraph(gone if snapshot.target else NOTHING_YET, width, palette.dim))
            return
        lines = _head(task, aio, width, palette)
        one = next((o for o in aio.objects if task.wait.object and o.id == task.wait.object), None)
        if one is not None:
            lines.append(shared_line(one, width, palette))
        lines += [[], *beside(task, aio, width, palette)]
        held = holds_lines(task, aio, width, palette)
        if held:
            lines += [[], [Segment("Holds", palette.title)], *held]
        lines += [[], [Segment("Who awaits whom", palette.title)], *tree(task, aio, width, palette)]
        lines += [[], [Segment("Where its time goes", palette.title)]]
        for state in sorted(TaskState, key=lambda s: -task.shares[s]):
            share = task.shares[state]
            if share >= 0.005:
                lines.append(
                    [
                        Segment(fit(f"  {state.name.lower()}", 12), style_of(state, palette)),
                        Segment(fit(text.percent(share), 6, right=True), palette.bright),
                        Segment(" " + "█" * round(share * max(0, min(40, width - 22))), style_of(state, palette)),
                    ]
                )
        page.set_lines(lines)

    def do_open_holder(self) -> None:
        """To whoever has what it waits for; else to what it awaits, or the thread that runs its call."""
        task = self._found(self.snapshot) if self.snapshot is not None else None
        if task is None:
            return
        after = next((t for t in (*task.blocked_by, *task.awaits) if t != task.id), 0)
        if after:
            self.post_message(self.Goto("task", after))
        elif task.wait.tid:
            self.post_message(self.Goto("thread", task.wait.tid))
        else:
            self.app.notify("nobody is known to be in its way", markup=False, timeout=3)

    def selection(self) -> str:
        task = self._found(self.snapshot) if self.snapshot is not None else None
        return f"{task.name}: {task.state.name.lower()} {lasting(task)}: {task.reason}" if task is not None else ""


VIEW = ViewSpec("task", 0, "Task", Task)

"""Tab 8: what the agent inside the target says: asyncio tasks, exact calls, queues. Empty without consent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from concview import text
from concview.errors import Code
from concview.model import Calls, Frame
from concview.snapshot import Snapshot
from concview.tui import agent_requests, keys
from concview.tui.text_render import Line, paragraph
from concview.tui.theme import Palette, palette_of
from concview.tui.views.base import NOTHING_YET, TableView, ViewSpec
from concview.tui.widgets import exact, tasks
from concview.tui.widgets.exact import Counted, exact_table
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.page import Page, Panel
from concview.tui.widgets.queues import queue_lines
from concview.tui.widgets.table import Table
from concview.tui.widgets.tasks import loop_lines, task_table

SECTIONS = ("tasks", "calls", "queues")
TITLES = {"tasks": "Tasks", "calls": "Calls", "queues": "Queues and pools"}


def _agent(snapshot: Snapshot, problem: str, width: int, palette: Palette) -> list[Line]:
    """Whether the agent is there, what it costs, and what it would not do."""
    agent = snapshot.agent
    if agent is None:
        lines: list[Line] = [[Segment("No agent is in the process: it is only read from outside.", palette.bright)]]
        said = "All other views work without one, tasks and queues included. Exact counts of calls need the agent. "
        said += (
            f"{problem[0].upper()}{problem[1:]}."
            if problem
            else "Press a: you are told what it does to the process, and asked first. Or start the program with "
            "'concview run --agent script.py'."
        )
        return [*lines, *paragraph(said, width, palette.base)]
    there = agent.state == "attached"
    head: Line = [
        Segment("Agent ", palette.title),
        Segment(agent.state, palette.ok if there else palette.warn),
    ]
    if there:
        head.append(Segment(f"  cost {agent.cost_percent:.2f} % of a core", palette.dim))
        if agent.late_s >= 0.005:
            head.append(Segment(f"  waited {text.duration(agent.late_s)} for the GIL", palette.dim))
    lines = [head, *(paragraph(problem, width, palette.dim) if problem else [])]
    if agent.text:
        lines += paragraph(agent.text, width, palette.base)
    if agent.remedy:
        lines += paragraph(agent.remedy, width, palette.info)
    if agent.library:
        lines += paragraph(f"the program runs on {agent.library}", width, palette.warn)
    refusal = snapshot.refusal
    if refusal is not None and there:
        lines += paragraph(f"Refused: {refusal.text}.", width, palette.warn)
        if refusal.remedy:
            lines += paragraph(f"To enable: {refusal.remedy}", width, palette.info)
        if refusal.code == Code.MISSING and _has_monitoring(snapshot):
            lines += paragraph("Or count without times: w, then n (sys.monitoring).", width, palette.base)
    return lines


def _has_monitoring(snapshot: Snapshot) -> bool:
    """Python 3.12 and newer have sys.monitoring."""
    found = re.match(r"3\.(\d+)", snapshot.target.python) if snapshot.target is not None else None
    return found is not None and int(found[1]) >= 12


def _counting(calls: Calls | None, snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
    """The window that is open, or what the last one was."""
    if calls is None:
        running = agent_requests.window(snapshot)
        return [[Segment(f"counting begins: {running}" if running else "w counts every call", palette.dim)]]
    word, style = ("counting", palette.warn) if calls.running else ("counted", palette.ok)
    if calls.running and not agent_requests.attached(snapshot):
        word = "cut off"  # the agent went in the middle of it: these are its last words
    first: Line = [Segment(word, style), Segment(f"  {agent_requests.window_words(calls)}", palette.base)]
    if not calls.running and not calls.clean:
        first.append(Segment("  the profiler's hooks could not be proved to be gone", palette.error))
    lines = [first, *paragraph(agent_requests.cost(calls) + ".", width, palette.dim)]
    if calls.dropped:
        lines.append([Segment(f"{text.plural(calls.dropped, 'row')} more of little time are not listed", palette.dim)])
    return lines


class Inside(TableView):
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("inside")]
    DEFAULT_CSS = "Inside #detail { border-top: solid $panel; }"
    scope = "inside"
    keys = ("agent", "window", "section", "save_calls", "filter", "sort")

    def __init__(self) -> None:
        super().__init__()
        self.section = "tasks"
        self._chosen = False  #: the person chose the section; until then it is the one with something in it
        self._counted: Counted | None = None
        self._wanted: Frame | None = None  #: a sampled frame whose exact counts are asked for

    def compose(self) -> ComposeResult:
        yield Panel(id="agent")
        yield Panel(id="sections")
        yield task_table("tasks")
        yield exact_table("calls")
        yield Page(id="queues")
        yield Page(id="detail")
        yield FilterBar()

    # ------------------------------------------------------------ which part

    @property
    def grid(self) -> Table:
        return self.query_one("#calls" if self.section == "calls" else "#tasks", Table)

    def primary(self) -> Widget | None:
        if not self.ready:
            return None
        top = self.query_one("#agent", Panel)
        if top.can_focus:
            return top
        return self.query_one("#queues", Page) if self.section == "queues" else self.grid

    def aim(self, subject: Any) -> None:
        """A sampled frame whose exact counts are asked for, or the name of an action."""
        if isinstance(subject, Frame):
            self._choose("calls")
            self._wanted = subject
        elif isinstance(subject, str):
            self.run_later(subject)

    def run_later(self, action: str) -> None:
        self.call_after_refresh(self.run_action, action)

    def _choose(self, section: str) -> None:
        self.section, self._chosen = section, True
        self.query_one(FilterBar).close(keep=False)
        for table in self.query(Table):
            table.set_filter("")

    # ------------------------------------------------------------ data

    def counted(self, snapshot: Snapshot) -> Counted | None:
        if snapshot.calls is None:
            return None
        if self._counted is None or self._counted.calls is not snapshot.calls:
            self._counted = Counted(snapshot.calls)
        return self._counted

    def rows(self, snapshot: Snapshot) -> Sequence[Any]:
        if self.section == "calls":
            counted = self.counted(snapshot)
            return counted.rows if counted is not None else ()
        return tasks.rows(snapshot.tasks)

    def context(self, snapshot: Snapshot) -> Any:
        return self.counted(snapshot) if self.section == "calls" else snapshot

    def detail(self, row: Any, snapshot: Snapshot, width: int) -> list[Line] | None:
        if row is None:
            return None
        palette = palette_of(self)
        if self.section == "tasks":
            return tasks.detail(row, width, palette)
        counted = self.counted(snapshot)
        return exact.detail(counted, row[0], snapshot, width, palette) if counted is not None else None

    # ------------------------------------------------------------ drawing

    def draw(self, snapshot: Snapshot) -> None:
        if not self._chosen:
            self.section = _telling(snapshot)
        palette = palette_of(self)
        top, sections = self.query_one("#agent", Panel), self.query_one("#sections", Panel)
        problem = agent_requests.why_not(self.app.session, snapshot)  # type: ignore[attr-defined]
        said = (
            _agent(snapshot, problem, top.room, palette) if snapshot.target else [[Segment(NOTHING_YET, palette.dim)]]
        )
        top.set_lines(said)
        told = snapshot.agent is not None
        # Without an agent there is nothing else, and a widget that is hidden loses the keyboard a moment later.
        top.can_focus = not told
        if told and self.screen.focused is top:
            self.screen.set_focus(self.primary())
        lines = [self._tabs(snapshot, palette), *self._about(snapshot, sections.room, palette)]
        sections.set_lines([[], *lines, []] if self.size.height >= 20 else lines)
        sections.display = told
        for name in ("tasks", "calls"):
            self.query_one(f"#{name}", Table).display = told and self.section == name
        queues = self.query_one("#queues", Page)
        queues.display = told and self.section == "queues"
        if self.section == "queues" or not told:
            self.query_one("#detail", Page).display = False
            queues.set_lines(queue_lines(snapshot.queues, queues.room, palette))
            return
        super().draw(snapshot)
        if snapshot.calls is not None and self._wanted is not None:
            self._find(self._wanted)

    def _tabs(self, snapshot: Snapshot, palette: Palette) -> Line:
        numbers = {
            "tasks": sum(loop.count for loop in snapshot.tasks.loops) if snapshot.tasks is not None else 0,
            "calls": len(self.counted(snapshot).rows) if snapshot.calls is not None else 0,  # type: ignore[union-attr]
            "queues": len(snapshot.queues.queues) + len(snapshot.queues.pools) if snapshot.queues is not None else 0,
        }
        line: Line = []
        for name in SECTIONS:
            here = name == self.section
            line += [
                Segment(f"{'▸' if here else ' '}{TITLES[name]}", palette.accent if here else palette.dim),
                Segment(f" {text.count(numbers[name])}   ", palette.bright if here else palette.faint),
            ]
        return line

    def _about(self, snapshot: Snapshot, width: int, palette: Palette) -> list[Line]:
        if self.section == "calls":
            return _counting(snapshot.calls, snapshot, width, palette)
        if self.section == "tasks" and snapshot.tasks is not None:
            return loop_lines(snapshot.tasks.loops, snapshot, width, palette)
        return []

    def _find(self, frame: Frame) -> None:
        """Select the function that the sampled frame is in, or say that it was not counted."""
        self._wanted = None
        counted = self._counted
        index = counted.find(frame.function, frame.file, frame.line) if counted is not None else None
        if counted is None or index is None:
            self.app.notify(f"{frame.function} was not called while calls were counted", markup=False)
            return
        self.grid.choose(counted.functions[index].key)
        self.draw_detail()

    # ------------------------------------------------------------ keys

    def action_agent(self) -> None:
        agent_requests.offer(self.app, self.snapshot)

    def action_window(self) -> None:
        self._chosen, self.section = True, "calls"
        self.redraw()
        agent_requests.count_calls(self.app, self.snapshot)

    def action_section(self) -> None:
        self._choose(SECTIONS[(SECTIONS.index(self.section) + 1) % len(SECTIONS)])
        self.redraw()
        primary = self.primary()
        if primary is not None and primary.display:
            self.screen.set_focus(primary)

    def action_save_calls(self) -> None:
        agent_requests.save(self.app, self.snapshot)

    def do_filter(self) -> None:
        if self.section != "queues":
            super().do_filter()

    def selection(self) -> str:
        row = self.grid.current
        if self.section == "queues" or row is None:
            return super().selection()
        if self.section == "tasks":
            return tasks.as_line(row)
        return exact.as_line(row, self._counted is not None and self._counted.timed)

    def back(self) -> bool:
        return self.section != "queues" and self.grid.display and super().back()


def _telling(snapshot: Snapshot) -> str:
    """The first section with something in it."""
    if snapshot.tasks is not None and any(loop.count for loop in snapshot.tasks.loops):
        return "tasks"
    if snapshot.calls is not None:
        return "calls"
    return "queues" if snapshot.queues is not None and (snapshot.queues.queues or snapshot.queues.pools) else "tasks"


VIEW = ViewSpec("inside", 8, "Inside", Inside, mark=lambda s: "●" if agent_requests.attached(s) else "")

"""The first screen without a process id: which of the running Python processes?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import ComposeResult
from textual.message import Message

from concview import text
from concview.text import short_command
from concview.tui import keys
from concview.tui.ports import Picker, Service, ViewedSession
from concview.tui.screens.list_screen import ListScreen
from concview.tui.text_render import Line, fit, fit_command, paragraph
from concview.tui.theme import Palette, palette_of
from concview.tui.widgets.columns import Column, text_cell
from concview.tui.widgets.page import Panel
from concview.tui.widgets.process_rows import CPU, PID, branch, depths, name_column, number_column, under_masters
from concview.tui.widgets.table import Table

REFRESH_S = 1.0


def _command(row: Any) -> str:
    command = row.command if isinstance(row.command, str) else short_command(tuple(row.command))
    container = getattr(row, "container", "")
    return f"[{container}] {command}" if container else command


def _attach(row: Any, width: int, palette: Palette, context: Any) -> Line:
    if row.attachable:
        return [Segment(fit("✓ yes", width), palette.ok)]
    return [Segment(fit(f"× {row.why}", width), palette.warn)]


def _command_cell(row: Any, width: int, palette: Palette, context: Any) -> Line:
    before = branch(row, context)
    said = before + fit_command(_command(row), max(0, width - len(before)))
    return [Segment(fit(said, width), palette.base if row.attachable else palette.dim)]


PROCESSES = (
    PID,
    name_column(12, 26, lambda r: r.attachable, drop=4),
    Column("python", "PYTHON", 8, text_cell(lambda r: r.python or "?"), sort=lambda r: r.python, down=False),
    CPU,
    number_column("threads", "THREADS", 8, lambda r: r.threads, drop=1),
    number_column("switches", "SW/S", 6, lambda r: r.switches_per_s, drop=6),
    Column("owner", "OWNER", 9, text_cell(lambda r: r.owner, "dim"), drop=5, sort=lambda r: r.owner, down=False),
    Column("attach", "ATTACH", 8, _attach, most=30, sort=lambda r: not r.attachable, down=False),
    # Short of room the name goes first: the command begins with it.
    Column("command", "COMMAND", 20, _command_cell, most=120, want=40, sort=_command, down=False, data=_command),
)
DEMOS = (
    Column("id", "DEMO", 26, text_cell(lambda d: d[0], "bright"), most=36),
    Column("title", "WHAT IT SHOWS", 30, text_cell(lambda d: d[1]), most=120, drop=1),
)
SUBTITLE = " see why the threads of a running Python process make no progress"


def _works_for(row: Any, above: Any) -> bool:
    """A fork has its master's command line; what multiprocessing starts otherwise says that in its own."""
    return row.command == above.command or "multiprocessing" in _command(row)


class PickerScreen(ListScreen):
    keys = ("open", "pick_tree", "pick_filter", "pick_sort", "pick_back")

    class Listed(Message):
        def __init__(self, rows: Sequence[Any], demos: Sequence[tuple[str, str]]) -> None:
            super().__init__()
            self.rows, self.demos = rows, demos

    class Attached(Message):
        def __init__(self, session: ViewedSession) -> None:
            super().__init__()
            self.session = session

    class Watched(Message):
        """Several processes are watched together from now on."""

        def __init__(self, service: Service) -> None:
            super().__init__()
            self.service = service

    class Failed(Message):
        def __init__(self, error: BaseException) -> None:
            super().__init__()
            self.what = str(error) or type(error).__name__
            self.remedy = str(getattr(error, "remedy", "") or "")

    def __init__(self, picker: Picker) -> None:
        super().__init__()
        self.picker = picker
        self.rows: Sequence[Any] = ()
        self.demos: Sequence[tuple[str, str]] = ()
        self.listed = self.listing = self.attaching = False
        self.said: list[tuple[str, str]] = []

    def body(self) -> ComposeResult:
        yield Panel(id="said")
        yield Table(
            PROCESSES,
            lambda r: r.pid,
            sort="cpu",
            id="processes",
            empty="looking for Python processes …",
            haystack=lambda r: f"{r.pid} {r.name} {_command(r)} {r.python} {r.owner}".lower(),
        )
        yield Table(DEMOS, lambda d: d[0], id="demos", empty="", haystack=lambda d: f"{d[0]} {d[1]}".lower())

    def on_mount(self) -> None:
        self.query_one("#demos").display = False
        self.query_one("#processes", Table).regroup = lambda rows, by, down: under_masters(rows, self.rows)
        self.begin(REFRESH_S)
        self.look()

    # ------------------------------------------------------------ work beside the screen

    def _in_thread(self, work: Callable[[], Message]) -> None:
        """In a daemon thread: a process table that hangs must not keep the program from ending."""

        def run() -> None:
            try:
                message = work()
            except Exception as error:  # whatever the callable raises is for the person, not for a traceback
                message = self.Failed(error)
            if self.is_running:
                self.post_message(message)
            elif isinstance(message, self.Attached):
                message.session.close()
            elif isinstance(message, self.Watched):
                message.service.close()

        threading.Thread(target=run, name="concview-picker", daemon=True).start()

    def look(self) -> None:
        if self.listing or self.attaching or not self.is_current:
            return
        self.listing = True
        self._in_thread(lambda: self.Listed(self.picker.list_processes(), self.picker.list_demos()))

    def on_picker_screen_listed(self, event: Listed) -> None:
        self.listing, self.listed = False, True
        self.rows, self.demos = event.rows, event.demos
        self.draw()

    def on_picker_screen_attached(self, event: Attached) -> None:
        """The app takes the session from here: the message goes on to it."""
        self.attaching = False
        self.say()

    def on_picker_screen_watched(self, event: Watched) -> None:
        """As above."""
        self.attaching = False
        self.say()

    def on_picker_screen_failed(self, event: Failed) -> None:
        self.listing = self.attaching = False
        self.say(("error", event.what), ("base", event.remedy))

    # ------------------------------------------------------------ drawing

    @property
    def table(self) -> Table:
        return self.query_one("#demos" if self.listed and not self.rows else "#processes", Table)

    def say(self, *parts: tuple[str, str]) -> None:
        """A message above the list; nothing takes it away."""
        self.said = [(tone, words) for tone, words in parts if words]
        self.draw()

    def draw(self) -> None:
        palette, width = palette_of(self), self.app.size.width
        table = self.table
        if not table.display or (table.has_focus is False and self.focused is None):
            for other in self.query(Table):
                other.display = other is table
            table.focus()
        found = text.plural(len(self.rows), "Python process", "Python processes") if self.listed else "looking …"
        title: list[Line] = [
            [Segment(" concview ", palette.badges["info"]), Segment(f" {found}", palette.bar_bright)],
            self._second_line(width, palette),
        ]
        lines: list[Line] = []
        for tone, words in self.said:
            lines += paragraph(words, width - 3, getattr(palette, tone))
        if self.listed and not self.rows:
            lines += paragraph("No Python process runs here that can be seen.", width - 3, palette.bright)
            if self.demos:
                lines += paragraph(
                    "Start one of these demos instead: each shows an anti-pattern at work.", width - 3, palette.base
                )
        row = table.current
        if table.id == "processes" and row is not None and not row.attachable and not self.said:
            lines += paragraph(row.why, width - 3, palette.warn)
            lines += paragraph(row.remedy, width - 3, palette.base) if row.remedy else []
        if table.id == "processes":
            table.set_rows(self.rows, depths(self.rows))
        else:
            table.set_rows(self.demos)
        self.show(title, [[], *lines, []] if lines else [[]])

    def _second_line(self, width: int, palette: Palette) -> Line:
        """The selected process's whole command, as far as there is room, and what is below it.

        Always in the same place: the list stays where it is while the selection moves.
        """
        row = self.table.current if self.table.id == "processes" else None
        if row is None:
            return [Segment(fit(SUBTITLE, min(len(SUBTITLE), width)), palette.bar_dim)]
        root = self._root(row)
        below = sum(1 for r in self.rows if getattr(r, "parent", 0) == root.pid)
        whose = "below it" if root is row else f"below {root.pid}"
        more = f"  {keys.by_id('pick_tree').shown}: with the {below} {whose}" if below else ""
        room = max(0, width - 2 - len(more))
        said = fit_command(_command(row), min(room, cell_len(_command(row))))
        return [Segment(f" {said}", palette.bar_bright), Segment(fit(more, min(len(more), width)), palette.bar_dim)]

    def on_table_moved(self, event: Table.Moved) -> None:
        self.said = []
        self.draw()

    def _root(self, row: Any) -> Any:
        """Of a worker its master: who wants a worker with all others seldom has the master's line selected."""
        if any(getattr(r, "parent", 0) == row.pid for r in self.rows):
            return row  # it has workers itself
        by_pid = {r.pid: r for r in self.rows}
        root, passed = row, {row.pid}  # numbers are used again while the list is made: there may be circles
        while (above := by_pid.get(getattr(root, "parent", 0))) is not None and above.pid not in passed:
            if not _works_for(row, above):
                break
            root = above
            passed.add(above.pid)
        return root

    # ------------------------------------------------------------ keys

    def on_table_opened(self, event: Table.Opened) -> None:
        if self.attaching:
            return
        row = event.row
        if event.table.id == "demos":
            self.attaching = True
            self.say(("accent", f"starting {row[0]} …"))
            self._in_thread(lambda: self.Attached(self.picker.start_demo(row[0])))
            return
        self.attaching = True
        self.say(("accent", f"attaching to {row.pid} …"))
        self._in_thread(lambda: self.Attached(self.picker.attach(row.pid)))

    def action_tree(self) -> None:
        """Everybody below what is selected, and itself, watched together; of a worker, everybody below its master."""
        row = self.table.current
        if self.attaching or row is None or self.table.id != "processes":
            return
        row = self._root(row)
        self.attaching = True
        self.say(("accent", f"attaching to {row.pid} and the Python processes below it …"))
        self._in_thread(lambda: self.Watched(self.picker.watch_tree(row.pid)))

    def action_back(self) -> None:
        self.said = []
        super().action_back()

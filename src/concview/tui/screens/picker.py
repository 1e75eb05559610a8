"""The first screen without a process id: which of the running Python processes?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from concview import text
from concview.text import short_command
from concview.tui import keys
from concview.tui.ports import Picker, ViewedSession
from concview.tui.screens.base import SizedScreen, TooSmall
from concview.tui.text_render import Line, fit, paragraph
from concview.tui.theme import Palette, palette_of
from concview.tui.widgets.bars import Bar, Footer
from concview.tui.widgets.columns import Column, number_cell, text_cell
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.page import Panel
from concview.tui.widgets.table import Table

REFRESH_S = 1.0


def _command(row: Any) -> str:
    command = row.command if isinstance(row.command, str) else short_command(tuple(row.command))
    container = getattr(row, "container", "")
    return f"[{container}] {command}" if container else command


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


def _number(value: float | None) -> str:
    return "-" if value is None else text.count(value)


def _less(value: float | None) -> float:
    return -1.0 if value is None else value


def _attach(row: Any, width: int, palette: Palette, context: Any) -> Line:
    if row.attachable:
        return [Segment(fit("✓ yes", width), palette.ok)]
    return [Segment(fit(f"× {row.why}", width), palette.warn)]


def _name(row: Any, width: int, palette: Palette, context: Any) -> Line:
    depth = (context or {}).get(row.pid, 0)
    branch = f"{'  ' * (min(depth, 4) - 1)}└ " if depth else ""
    return [Segment(fit(branch + row.name, width), palette.bright if row.attachable else palette.dim)]


PROCESSES = (
    Column("pid", "PID", 8, number_cell(lambda r: str(r.pid), "accent"), right=True, sort=lambda r: r.pid, down=False),
    Column("name", "NAME", 12, _name, most=26, sort=lambda r: r.name.lower(), down=False),
    Column("python", "PYTHON", 8, text_cell(lambda r: r.python or "?"), sort=lambda r: r.python, down=False),
    Column(
        "cpu",
        "CPU%",
        6,
        number_cell(lambda r: _number(r.cpu_percent)),
        right=True,
        drop=1,
        sort=lambda r: _less(r.cpu_percent),
    ),
    Column(
        "threads",
        "THREADS",
        8,
        number_cell(lambda r: _number(r.threads)),
        right=True,
        drop=1,
        sort=lambda r: _less(r.threads),
    ),
    Column(
        "switches",
        "SW/S",
        6,
        number_cell(lambda r: _number(r.switches_per_s)),
        right=True,
        drop=6,
        sort=lambda r: _less(r.switches_per_s),
    ),
    Column("owner", "OWNER", 9, text_cell(lambda r: r.owner, "dim"), drop=5, sort=lambda r: r.owner, down=False),
    Column("attach", "ATTACH", 8, _attach, most=30, sort=lambda r: not r.attachable, down=False),
    Column("command", "COMMAND", 20, text_cell(_command, "dim"), most=120, want=30, drop=2, sort=_command, down=False),
)
DEMOS = (
    Column("id", "DEMO", 26, text_cell(lambda d: d[0], "bright"), most=36),
    Column("title", "WHAT IT SHOWS", 30, text_cell(lambda d: d[1]), most=120, drop=1),
)
SUBTITLE = " see why the threads of a running Python process make no progress"


class PickerScreen(SizedScreen):
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("picker")]
    DEFAULT_CSS = """
    PickerScreen { layout: vertical; padding: 0; }
    PickerScreen #title { height: 2; }
    PickerScreen #said { margin: 0 1; }
    PickerScreen Table { margin: 0 1; }
    """

    class Listed(Message):
        def __init__(self, rows: Sequence[Any], demos: Sequence[tuple[str, str]]) -> None:
            super().__init__()
            self.rows, self.demos = rows, demos

    class Attached(Message):
        def __init__(self, session: ViewedSession) -> None:
            super().__init__()
            self.session = session

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

    def compose(self) -> ComposeResult:
        yield Bar(id="title")
        with Vertical(id="body"):
            yield Panel(id="said")
            yield from self._lists()
            yield FilterBar()
        yield Footer(id="footer")
        yield TooSmall()

    def _lists(self) -> ComposeResult:
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
        self.set_class(self.too_small, "-too-small")
        self.query_one("#demos").display = False
        self.query_one("#processes", Table).regroup = lambda rows, by, down: under_masters(rows, self.rows)
        self.set_interval(REFRESH_S, self.look)
        self.look()
        self.call_after_refresh(self.fit_room)

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
            [Segment(fit(SUBTITLE, min(len(SUBTITLE), width)), palette.bar_dim)],
        ]
        self.query_one("#title", Bar).set_lines(title)
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
        self.query_one("#said", Panel).set_lines([[], *lines, []] if lines else [[]])
        if table.id == "processes":
            table.set_rows(self.rows, depths(self.rows))
        else:
            table.set_rows(self.demos)
        self.query_one(FilterBar).count(table.matched, table.total)
        self.query_one(Footer).show(keys.footer(("open", "pick_filter", "pick_sort", "pick_back")))

    def fit_room(self) -> None:
        if not self.too_small:
            self.draw()

    def on_table_moved(self, event: Table.Moved) -> None:
        self.said = []
        self.draw()

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

    def action_filter(self) -> None:
        self.query_one(FilterBar).open()

    def action_sort(self) -> None:
        self.table.cycle_sort()

    def action_reverse(self) -> None:
        self.table.reverse()

    def on_input_changed(self, event: Input.Changed) -> None:
        table = self.table
        table.set_filter(event.value)
        if table.matches is None:
            table.untouch()
        elif table.current is not None and not table.matches(table.current):
            # A master that stands there for its worker's sake was not looked for.
            table.choose(next(table.key(row) for row in table.rows if table.matches(row)))
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.query_one(FilterBar).close(keep=True)
        self.table.focus()

    def action_back(self) -> None:
        bar = self.query_one(FilterBar)
        if bar.display:
            bar.close(keep=False)
            self.table.set_filter("")
            self.table.focus()
        self.say()

    def restyle(self) -> None:
        for table in self.query(Table):
            table.restyle()
        self.fit_room()

"""A screen with one list and a line to filter it: the picker, and the list of several processes."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input

from concview.tui import keys
from concview.tui.screens.base import SizedScreen, TooSmall
from concview.tui.text_render import Line
from concview.tui.widgets.bars import Bar, Footer
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.page import Panel
from concview.tui.widgets.table import Table


class ListScreen(SizedScreen):
    """A title of two lines, what is said, the list, the filter, the keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("picker")]
    keys: tuple[str, ...] = ("open", "pick_filter", "pick_sort", "pick_back")  #: of the footer
    DEFAULT_CSS = """
    ListScreen { layout: vertical; padding: 0; }
    ListScreen #title { height: 2; }
    ListScreen #said { margin: 0 1; }
    ListScreen Table { margin: 0 1; }
    """

    @abstractmethod
    def body(self) -> ComposeResult:
        """The list and the panel `said`, in their order."""

    @property
    @abstractmethod
    def table(self) -> Table:
        """The list that the keys are for."""

    @abstractmethod
    def draw(self) -> None:
        """Everything, from what is known now."""

    def compose(self) -> ComposeResult:
        yield Bar(id="title")
        with Vertical(id="body"):
            yield from self.body()
            yield FilterBar()
        yield Footer(id="footer")
        yield TooSmall()

    def begin(self, every_s: float) -> None:
        """Mounted: look again every so many seconds."""
        self.set_class(self.too_small, "-too-small")
        self.set_interval(every_s, self.look)
        self.call_after_refresh(self.fit_room)

    @abstractmethod
    def look(self) -> None:
        """What is there now? Called again and again."""

    def show(self, title: list[Line], said: list[Line]) -> None:
        """What stands around the list, whose rows have been set."""
        self.query_one("#title", Bar).set_lines(title)
        self.query_one("#said", Panel).set_lines(said)
        self.query_one(FilterBar).count(self.table.matched, self.table.total)
        self.query_one(Footer).show(keys.footer(self.keys))

    def fit_room(self) -> None:
        if not self.too_small:
            self.draw()

    def restyle(self) -> None:
        for table in self.query(Table):
            table.restyle()
        self.fit_room()

    # ------------------------------------------------------------ keys

    def action_filter(self) -> None:
        self.query_one(FilterBar).open()

    def action_sort(self) -> None:
        self.table.cycle_sort()

    def action_reverse(self) -> None:
        self.table.reverse()

    def action_tree(self) -> None:
        """Only in the list of all processes."""

    def action_back(self) -> None:
        bar = self.query_one(FilterBar)
        if bar.display:
            bar.close(keep=False)
            self.table.set_filter("")
            self.table.focus()
        self.draw()

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

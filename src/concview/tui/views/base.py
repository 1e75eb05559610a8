"""What a view is: one file in this package that offers `VIEW`.

A view gets snapshots while it is on screen and nothing else. It draws; the dashboard does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.segment import Segment
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from concview.snapshot import Snapshot
from concview.tui.text_render import Line, wrap
from concview.tui.theme import palette_of
from concview.tui.widgets.baseline import Baseline
from concview.tui.widgets.filter import FilterBar
from concview.tui.widgets.page import Page, Panel
from concview.tui.widgets.steady import Steady
from concview.tui.widgets.table import Table

#: What an empty view says before anything was seen; that nothing was found would be a claim.
NOTHING_YET = "waiting for the first samples …"
#: From this width on there is room for two things side by side.
WIDE = 120


@dataclass(frozen=True, slots=True)
class ViewSpec:
    """`tab` is the number key (10: the title's first letter); 0 for views that are only reached from others. `mark` is
    shown at the tab's title; `short` is another title, for a narrow terminal. `present` says whether there is something
    for it.
    """

    id: str
    tab: int
    title: str
    make: Callable[[], View]
    mark: Callable[[Snapshot], str] = lambda snapshot: ""
    short: str = ""
    present: Callable[[Snapshot], bool] = lambda snapshot: True
    #: Reached by key 0 from everywhere: among the tabs, without lasting room there, while it is shown.
    own_key: bool = False


class View(Vertical, Steady):
    """Base. `keys` are the ids of footer keys; `offers` the view actions it understands."""

    DEFAULT_CSS = "View { height: 1fr; padding: 0 1; } "
    BLANK = True  # only its parts are to be seen
    keys: tuple[str, ...] = ("pause", "back")

    class Goto(Message):
        """Show another view, with something selected in it."""

        def __init__(self, view: str, subject: Any = None) -> None:
            super().__init__()
            self.view, self.subject = view, subject

    class Ready(Message):
        """The view and its parts are mounted and have their place."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.snapshot: Snapshot | None = None
        self.ready = False
        self._drawn_for = Size()

    def on_mount(self) -> None:
        # The first layout can come before the mount is through; its Resize is lost then.
        self._settle()
        self.call_after_refresh(self._settle)
        self.screen.screen_layout_refresh_signal.subscribe(self, self._laid_out, immediate=True)

    def _laid_out(self, screen: Screen[Any]) -> None:
        """Textual (8.2) sends no Resize to a widget that its map of the screen had already, and that map is also made
        anew between two layouts: the view would stay empty."""
        if self.display and self.size and (not self.ready or self.size != self._drawn_for):
            self.call_after_refresh(self._fit)

    def _settle(self) -> None:
        if not self.ready and self.size and self.is_mounted:
            self.ready = True
            self.set_class(self.size.width >= WIDE, "wide")
            self.call_after_refresh(self.post_message, self.Ready())

    @property
    def baseline(self) -> Baseline | None:
        """What the person marked to compare with."""
        return getattr(self.screen, "baseline", None)

    def show(self, snapshot: Snapshot) -> None:
        """Draw this. Called only while the view is visible."""
        self.snapshot = snapshot
        self._drawn_for = self.size
        self.draw(snapshot)

    def draw(self, snapshot: Snapshot) -> None:
        raise NotImplementedError

    def redraw(self) -> None:
        """The same snapshot again, after a resize or a change of what is folded or selected."""
        if self.snapshot is not None and self.is_attached and self.display:
            self._drawn_for = self.size
            self.draw(self.snapshot)

    def aim(self, subject: Any) -> None:
        """Something in this view was asked for from another one."""

    def primary(self) -> Widget | None:
        """Where the keyboard goes."""
        return next((w for w in self.query("Table, Page") if w.focusable and w.display), None)

    def parts(self) -> list[Widget]:
        return [w for w in self.query("Table, Page") if w.focusable and w.display and w.size]

    def on_page_resized(self, event: Page.Resized) -> None:
        event.stop()
        self.redraw()

    def back(self) -> bool:
        """Escape: True when there was something to leave in this view."""
        return False

    def selection(self) -> str:
        """What `y` copies."""
        return "\n".join(self.as_text())

    def as_text(self) -> list[str]:
        """The whole view as plain text, what is scrolled away included."""
        lines: list[str] = []
        for widget in self.query("Table, Page"):
            if isinstance(widget, Table | Page) and widget.display:
                lines += [*widget.as_text(), ""]
        return lines

    def on_resize(self) -> None:
        self.set_class(self.size.width >= WIDE, "wide")
        self._settle()
        if self.size != self._drawn_for:
            self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        self.set_class(self.size.width >= WIDE, "wide")
        self._settle()
        if self.size != self._drawn_for:
            self.redraw()


class OfOne(View):
    """A page about one thread or task."""

    def __init__(self) -> None:
        super().__init__()
        self.tid = 0  #: of a task its id; the way back remembers it by this name

    def compose(self) -> ComposeResult:
        yield Page(id="page")

    def aim(self, subject: Any) -> None:
        self.tid = int(subject)
        self.query_one(Page).scroll_home(animate=False)
        self.redraw()


class Filtered(View):
    """A view with a table that can be filtered; it has a `FilterBar`."""

    @property
    def grid(self) -> Table:
        return self.query_one(Table)

    def count(self) -> None:
        bar = self.query_one(FilterBar)
        if self.grid.wrong:
            bar.say(self.grid.wrong)
        else:
            bar.count(self.grid.matched, self.grid.total)

    def filtered(self) -> None:
        """Other rows are shown than before."""

    def do_filter(self) -> None:
        self.query_one(FilterBar).open()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.grid.set_filter(event.value)
        self.count()
        self.filtered()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.query_one(FilterBar).close(keep=True)
        self.grid.focus()

    def back(self) -> bool:
        bar = self.query_one(FilterBar)
        if bar.display:
            bar.close(keep=False)
            self.grid.set_filter("")
            self.grid.focus()
            return True
        return False


class TableView(Filtered):
    """A table, what it says about the selected row below or beside it, and a filter."""

    keys: tuple[str, ...] = ("open", "filter", "sort", "pause", "back")

    shrinks = True

    def table(self) -> Table:
        raise NotImplementedError

    def rows(self, snapshot: Snapshot) -> Sequence[Any]:
        raise NotImplementedError

    def detail(self, row: Any, snapshot: Snapshot, width: int) -> list[Line] | None:
        """Lines about the row; None for a view without detail."""
        return None

    def context(self, snapshot: Snapshot) -> Any:
        return None

    def why_empty(self, snapshot: Snapshot) -> str:
        """What stands instead of rows; '': what the table itself says."""
        return "" if snapshot.target else NOTHING_YET

    def elsewhere(self, snapshot: Snapshot) -> str:
        """Above the rows: what of the same kind another view shows, and by which key; '': nothing."""
        return ""

    def compose(self) -> ComposeResult:
        yield Panel(id="elsewhere")
        yield self.table()
        yield Page(id="detail")
        yield FilterBar()

    def draw(self, snapshot: Snapshot) -> None:
        self.grid.say_when_empty(self.why_empty(snapshot))
        self.grid.set_rows(self.rows(snapshot), self.context(snapshot))
        said = self.elsewhere(snapshot)
        for beside in self.query("#elsewhere").results(Panel):
            beside.display = bool(said)
            parts = wrap(said, max(8, self.grid.room)) if said else []
            beside.set_lines([[Segment(part, palette_of(self).info)] for part in parts])
        self.count()
        self.draw_detail()

    def draw_detail(self) -> None:
        page = self.query_one("#detail", Page)
        lines = None
        if self.snapshot is not None:
            lines = self.detail(self.grid.current, self.snapshot, page.room)
        page.display = lines is not None
        if page.display and self.shrinks:
            # The list takes what it needs, at most two fifths; the rest is for the detail. What stands instead of rows
            # is to be read whole.
            empty = len(wrap(self.grid.said, max(1, self.grid.room))) if not self.grid.rows else 0
            most = max(4, self.size.height * 2 // 5)
            self.grid.styles.height = max(min(self.grid.total + 1, most), empty + 1)
        elif self.shrinks:
            self.grid.styles.height = "1fr"
        page.set_lines(lines or [])

    def on_table_moved(self, event: Table.Moved) -> None:
        if event.table is self.grid:
            self.draw_detail()
            self.query_one("#detail", Page).scroll_home(animate=False)

    def do_sort(self) -> None:
        self.grid.cycle_sort()

    def do_reverse(self) -> None:
        self.grid.reverse()

    def filtered(self) -> None:
        self.draw_detail()

    def back(self) -> bool:
        if super().back():
            return True
        if not self.grid.has_focus:
            self.grid.focus()
            return True
        return False

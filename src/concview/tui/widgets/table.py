"""A virtual table: any number of live rows, only the visible ones drawn, only the changed lines repainted.

Rows have keys. The selection belongs to a key, so it follows its row through sorting and new data. Columns have a
smallest width and an order in which they give way when the terminal narrows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.actions import SkipAction
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from concview.tui import keys
from concview.tui.search import matcher
from concview.tui.text_render import Line, differences, fit, strip_of, wrap
from concview.tui.theme import Palette, palette_of
from concview.tui.widgets.columns import Column, is_empty, layout, needed
from concview.tui.widgets.steady import Plain


def as_csv(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    from concview.exporters.csv import cell

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def _data(column: Column, row: Any, table: Table) -> str:
    if callable(column.data):
        return column.data(row)
    line = column.draw(row, WIDEST, palette_of(table), table.context)
    text = "".join(segment.text for segment in line).strip()
    return "" if text == "-" else text


#: Cells of a column that nothing is cut in.
WIDEST = 400
#: Seconds for which rows keep their places while new data comes.
HOLD_S = 3.0


class Table(ScrollView, Plain, can_focus=True, inherit_bindings=False):
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("list")]
    DEFAULT_CSS = """
    Table { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """

    class Moved(Message):
        """The selection is on another row, or on none."""

        def __init__(self, table: Table, row: Any) -> None:
            super().__init__()
            self.table, self.row = table, row

    class Opened(Moved):
        """Enter or a double click on a row."""

    class Edge(Message):
        """A step beyond the first (-1) or the last (+1) row."""

        def __init__(self, table: Table, direction: int) -> None:
            super().__init__()
            self.table, self.direction = table, direction

    def __init__(
        self,
        columns: Sequence[Column],
        key: Callable[[Any], Any],
        *,
        haystack: Callable[[Any], str] = str,
        fields: Mapping[str, Callable[[Any], str]] | None = None,
        sort: str = "",
        empty: str = "",
        headed: bool = True,
        others: Sequence[Column] = (),
        over: Callable[[Any], bool] = lambda row: False,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """`others`: columns that the view does not show by itself, and that can be chosen. `over`: whether a row is
        of something that is over; it comes after those that others could do something about."""
        super().__init__(id=id)
        self.columns, self.key, self.haystack = tuple(columns), key, haystack
        self.others, self.over = tuple(others), over
        self.chosen: tuple[str, ...] = ()  #: ids of the columns that the person chose, in order; (): the view's
        self._made: tuple[object, tuple[Column, ...]] = (None, ())
        self.sort_by, self.reversed, self.own_sort = sort, False, False  #: `own_sort`: by the person
        self.empty, self.said = empty, ""  #: what stands instead of rows; that there are none is known with the first
        self.needle = ""
        self.beyond = ""  #: behind 'nothing matches': what the filter does not reach
        self.fields = dict(fields or {})
        self.matches: Callable[[Any], bool] | None = None  #: from the needle; None: everything
        self.wrong = ""  #: what is wrong with the needle
        #: Puts sorted rows into groups and adds their headers; gets what to sort by, and whether largest first.
        self.regroup: Callable[[list[Any], Callable[[Any], Any] | None, bool], list[Any]] | None = None
        #: Which row is selected until the person moves, of all and by the key of the one that is; None: the first.
        self.first: Callable[[Sequence[Any], Any], Any] | None = None
        self.matched = 0  #: rows that the filter leaves; headers of groups are not counted
        self.head = 1 if headed else 0  #: lines above the rows
        self.context: Any = None
        self._places: dict[Any, int] = {}  #: key -> where it stood when it was sorted last
        self._group_places: dict[Any, int] = {}  #: the same with the headers of groups, where there are groups
        self._sorted_at = 0.0
        self.total = 0
        self.rows: list[Any] = []
        self.ungrouped: list[Any] = []  #: the rows without headers of groups, folded ones too
        self._source: Sequence[Any] = ()
        self.selected: Any = None
        self.cursor = 0
        self.touched = False  #: the person moved; until then the selection stays on the first row, or `first`
        self._painted: dict[int, Strip] = {}  #: what is on screen, by line
        self._layout: list[tuple[Column, int]] = []
        #: The rows in sight as they were drawn last, by key, and what all of them depend on. Rows do not change: a row
        #: that is drawn again is another object.
        self._drawn: dict[Any, tuple[Any, str, Strip]] = {}
        self._drawn_with: Any = None
        self._seen: dict[Any, Any] = {}  #: rows whose cells were counted
        self._needs: dict[str, int] = {}  #: cells that what was in sight fills of a column, the most so far
        self._filled: set[str] = set()  #: columns of one width in which something was seen

    # ------------------------------------------------------------ data

    def say_when_empty(self, words: str) -> None:
        """What stands instead of rows; without words what the table was made with."""
        self.said = words or self.empty

    def set_rows(self, rows: Sequence[Any], context: Any = None) -> None:
        self._source, self.context, self.said = rows, context, self.said or self.empty
        self._arrange(hold=bool(self._places) and monotonic() - self._sorted_at < HOLD_S)

    def _arrange(self, hold: bool = False) -> None:
        """With `hold` rows keep their places among one another, new ones come last: who reads is not to lose the line.
        What the person asks for is done at once."""
        rows = list(self._source)
        self.total = len(rows)
        if self.matches is not None:
            rows = [row for row in rows if self.matches(row)]
        self.matched = len(rows)
        column = next((c for c in self.every_column() if c.id == self.sort_by), None)
        if column is not None and column.sort is not None:
            rows.sort(key=column.sort, reverse=column.down != self.reversed)
        elif self.reversed:
            rows.reverse()
        if hold:
            last = len(self._places)
            rows.sort(key=lambda row: self._places.get(self.key(row), last))
        rows.sort(key=self.over)
        if not hold:
            self._places, self._sorted_at = {self.key(row): at for at, row in enumerate(rows)}, monotonic()
        self.ungrouped = rows
        if self.regroup is not None:
            by = column.sort if column is not None else None
            down = column is not None and column.down != self.reversed
            if hold:
                by, down = (lambda head: self._group_places.get(self.key(head), len(self._group_places))), False
            rows = self.regroup(rows, by, down)
            if not hold:
                self._group_places = {self.key(row): at for at, row in enumerate(rows)}
        in_sight = self._first() <= self.cursor < self._first() + self._page()
        self.rows = rows
        before = self.selected
        if self.touched and self.selected is not None:
            at = next((i for i, row in enumerate(rows) if self.key(row) == self.selected), None)
            self.cursor = min(self.cursor, max(0, len(rows) - 1)) if at is None else at
        else:
            self.cursor = rows.index(self.first(rows, self.selected)) if self.first is not None and rows else 0
        self.selected = self.key(rows[self.cursor]) if rows else None
        size = Size(1, len(rows) + self.head)  # never wider than there is room
        if size != self.virtual_size:
            self.virtual_size = size
        if in_sight:
            self._reveal()
        self._repaint()
        if self.selected != before:
            self.post_message(self.Moved(self, self.current))

    @property
    def current(self) -> Any:
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def untouch(self) -> None:
        """The selection is on the first row again, whichever that is."""
        self.touched, self.cursor = False, 0
        self.scroll_to(y=0, animate=False, force=True)

    def choose(self, key: Any) -> None:
        """Select the row with this key, now or as soon as it is there."""
        self.selected, self.touched = key, True
        at = next((i for i, row in enumerate(self.rows) if self.key(row) == key), None)
        if at is not None:
            self.move_to(at)

    def set_filter(self, needle: str) -> None:
        self.needle = needle
        self.matches, self.wrong = matcher(needle, self.haystack, self.fields)
        self._arrange()

    def cycle_sort(self) -> None:
        """The next column that can be sorted by and is on screen."""
        ids = [c.id for c, _ in self._layout if c.sort is not None]
        if not ids:
            return
        at = ids.index(self.sort_by) if self.sort_by in ids else -1
        self.sort_on(ids[(at + 1) % len(ids)])

    def sort_on(self, column: str) -> None:
        self.reversed = not self.reversed if column == self.sort_by else False
        self.sort_by, self.own_sort = column, True
        self._arrange()

    def sort_to(self, column: str, order: str = "") -> None:
        """'up': smallest first, 'down': largest first, '': as the column has it."""
        found = next((c for c in self.every_column() if c.id == column and c.sort is not None), None)
        if found is not None:
            self.sort_by, self.reversed = column, bool(order) and (order == "down") != found.down
            self.own_sort = True
            self._arrange()

    # ------------------------------------------------------------ columns

    def every_column(self) -> tuple[Column, ...]:
        """Those of the view first."""
        ids = {c.id for c in self.columns}
        return (*self.columns, *(c for c in self.others if c.id not in ids))

    def shown_columns(self) -> tuple[Column, ...]:
        """The person's, in the person's order; those of the view where none were chosen."""
        if not self.chosen:
            return self.columns
        if self._made[0] != (self.columns, self.chosen):
            known = {c.id: c for c in self.every_column()}
            # Who chose them wants to see them: none gives way, what has no room on the right is cut.
            columns = tuple(replace(known[i], drop=0) for i in self.chosen if i in known)
            self._made = ((self.columns, self.chosen), columns or self.columns)
        return self._made[1]

    def choose_columns(self, ids: tuple[str, ...]) -> None:
        self.chosen = ids
        self._repaint()

    def move_column(self, step: int) -> None:
        """The one that is sorted by, to the left (-1) or to the right (1)."""
        ids = [c.id for c, _ in self._layout]
        if self.sort_by not in ids:
            return
        at = ids.index(self.sort_by)
        to = max(0, min(len(ids) - 1, at + step))
        ids.insert(to, ids.pop(at))
        self.choose_columns(tuple(ids))

    def as_csv(self) -> str:
        """Every row that the filter leaves, in the order on screen; all columns, those that are shown first."""
        shown = self.shown_columns()
        ids = {c.id for c in shown}
        columns = [c for c in (*shown, *(c for c in self.every_column() if c.id not in ids)) if c.data is not False]
        rows = ([_data(c, row, self) for c in columns] for row in self.ungrouped)
        return as_csv([c.title.strip() or c.id for c in columns], rows)

    def reverse(self) -> None:
        self.reversed, self.own_sort = not self.reversed, True
        self._arrange()

    # ------------------------------------------------------------ moving

    @property
    def room(self) -> int:
        """Cells of a row: without those of the scrollbar."""
        return self.size.width - self.scrollbar_gutter.width

    def _page(self) -> int:
        return max(1, self.size.height - self.head)

    def _first(self) -> int:
        return self.scroll_offset.y

    def move_to(self, at: int) -> None:
        if not self.rows:
            return
        self.touched = True
        self.cursor = max(0, min(at, len(self.rows) - 1))
        row = self.rows[self.cursor]
        self.selected = self.key(row)
        self._reveal()
        self._repaint()
        self.post_message(self.Moved(self, row))

    def _reveal(self) -> None:
        first, page = self._first(), self._page()
        if self.cursor < first:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= first + page:
            self.scroll_to(y=self.cursor - page + 1, animate=False, force=True)

    def action_up(self) -> None:
        if self.cursor == 0:
            self.post_message(self.Edge(self, -1))
        else:
            self.move_to(self.cursor - 1)

    def action_down(self) -> None:
        if self.cursor >= len(self.rows) - 1:
            self.post_message(self.Edge(self, 1))
        else:
            self.move_to(self.cursor + 1)

    def action_page_up(self) -> None:
        self.move_to(self.cursor - self._page())

    def action_page_down(self) -> None:
        self.move_to(self.cursor + self._page())

    def action_half_up(self) -> None:
        self.move_to(self.cursor - max(1, self._page() // 2))

    def action_half_down(self) -> None:
        self.move_to(self.cursor + max(1, self._page() // 2))

    def action_match(self, step: int) -> None:
        """The next row that the filter was asked for; round at the end. Without a filter the key is somebody else's."""
        if self.matches is None:
            raise SkipAction()
        found = [at for at, row in enumerate(self.rows) if self.matches(row)]
        if found:
            further = [at for at in found if (at - self.cursor) * step > 0]
            self.move_to((further or found)[0 if step > 0 else -1])

    def action_top(self) -> None:
        self.move_to(0)

    def action_bottom(self) -> None:
        self.move_to(len(self.rows) - 1)

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened(self, self.current))

    def on_click(self, event: events.Click) -> None:
        if event.y < self.head:
            x = 0
            for column, width in self._layout:
                if x <= event.x <= x + width and column.sort is not None:
                    self.sort_on(column.id)
                    break
                x += width + 1
            return
        at = self._first() + event.y - self.head
        if at < len(self.rows):
            self.move_to(at)
            if event.chain >= 2:
                self.action_open()

    # ------------------------------------------------------------ drawing

    def on_resize(self) -> None:
        self._painted.clear()
        self._reveal()

    def watch_has_focus(self, value: bool) -> None:
        # Not on_focus: that comes before `has_focus` is set, and would paint the selection as it was.
        super().watch_has_focus(value)
        self._repaint()

    def restyle(self) -> None:
        """The theme changed."""
        self._painted.clear()
        self.refresh()

    def _repaint(self) -> None:
        """Ask for new paint only where the picture differs from what is on screen."""
        width = self.room
        if not width or not self.is_attached:
            return
        palette = palette_of(self)
        self._lay_out(width, palette)
        first = self._first()
        changed = []
        for y in range(self.size.height):
            strip = self._draw(y, first, width, palette)
            parts = differences(self._painted.get(y), strip)
            if parts:
                self._painted[y] = strip
                changed += [Region(start, y, end - start, 1) for start, end in parts]
        if changed:
            self.refresh(*changed)

    def _lay_out(self, width: int, palette: Palette) -> None:
        """Share the room among the columns, and forget the rows that were drawn for something else."""
        shown = self.shown_columns()
        grown = self._measure(shown, palette)
        wanted = (shown, width, self.sort_by, palette, self.context)
        if grown or wanted != self._drawn_with:
            if grown or self._drawn_with is None or wanted[:3] != self._drawn_with[:3]:
                # What is sorted by is seen.
                columns = [replace(c, drop=0) if c.id == self.sort_by else c for c in shown]
                empty = {c.id for c in columns if not c.most and c.id not in {*self._filled, self.sort_by}}
                self._layout = layout(columns, width, self._needs, empty if self.rows else ())
            self._drawn_with, self._drawn = wanted, {}
        elif len(self._drawn) > 4 * self.size.height + 100:
            self._drawn = {}  # scrolled through

    def _measure(self, shown: Sequence[Column], palette: Palette) -> bool:
        """Whether what is in sight needs more than it did. Columns never shrink while somebody reads."""
        first = self._first()
        rows = [r for r in self.rows[first : first + self.size.height] if self._seen.get(self.key(r)) is not r]
        self._seen = {self.key(r): r for r in self.rows[first : first + self.size.height]}
        grown = False
        for column in shown:
            if column.most and column.data is not False and rows:
                need = needed(column, rows, palette, self.context)
                if need > self._needs.get(column.id, 0):
                    self._needs[column.id], grown = need, True
            elif column.id not in self._filled and rows and not is_empty(column, rows, palette, self.context):
                self._filled.add(column.id)
                grown = True
        return grown

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._painted.clear()

    def render_line(self, y: int) -> Strip:
        strip = self._painted.get(y)
        width = self.room
        if strip is None or strip.cell_length != width:
            palette = palette_of(self)
            self._lay_out(width, palette)
            strip = self._painted[y] = self._draw(y, self._first(), width, palette)
        return strip

    def _draw(self, y: int, first: int, width: int, palette: Palette) -> Strip:
        if y < self.head:
            return strip_of(self._header(palette), width, palette.head)
        at = first + y - self.head
        if at >= len(self.rows):
            if not self.rows:
                nothing = f"nothing matches '{self.needle}'{self.beyond}"
                text = nothing if self.needle and self.total else self.said
                words = wrap(text, width)
                if y - self.head < len(words):
                    return strip_of([Segment(words[y - self.head], palette.dim)], width, palette.base)
            return Strip.blank(width, palette.base)
        row = self.rows[at]
        key = self.key(row)
        chosen = "" if at != self.cursor else "select" if self.has_focus else "select_idle"
        known = self._drawn.get(key)
        if known is not None and known[0] is row and known[1] == chosen:
            return known[2]
        strip = self._draw_row(row, chosen, width, palette)
        self._drawn[key] = (row, chosen, strip)
        return strip

    def _draw_row(self, row: Any, chosen: str, width: int, palette: Palette) -> Strip:
        line: Line = []
        gap = Segment(" ", palette.base)
        for column, cells in self._layout:
            if line:
                line.append(gap)
            line.extend(column.draw(row, cells, palette, self.context))
        if chosen:
            over: Style = getattr(palette, chosen)
            # Cells with a ground of their own keep it: they mean something.
            plain = palette.base.bgcolor
            line = [Segment(s.text, s.style + over) if s.style and s.style.bgcolor == plain else s for s in line]
            return strip_of(line, width, palette.base + over)
        return strip_of(line, width, palette.base)

    def _header(self, palette: Palette) -> Line:
        line: Line = []
        for column, cells in self._layout:
            if line:
                line.append(Segment(" ", palette.head))
            sorted_by = column.id == self.sort_by
            arrow = ("▼" if column.down != self.reversed else "▲") if sorted_by else ""
            title = fit(column.title, max(0, min(cells - len(arrow), len(column.title)))) + arrow
            line.append(Segment(fit(title, cells, column.right), palette.head_sorted if sorted_by else palette.head))
        return line

    def as_text(self) -> list[str]:
        """Every row as plain text, not only those on screen."""
        palette = palette_of(self)
        lines = ["".join(s.text for s in self._header(palette)).rstrip()]
        for row in self.rows:
            parts = ["".join(s.text for s in c.draw(row, w, palette, self.context)) for c, w in self._layout]
            lines.append(" ".join(parts).rstrip())
        return lines

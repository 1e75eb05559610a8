"""The icicle as a widget: boxes laid out once per change, strips made for visible lines only."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from concview import text
from concview.analysis.calltree import Node
from concview.tui.text_render import Line, fit, strip_of, wrap
from concview.tui.theme import Palette, palette_of
from concview.tui.widgets.flamepaint import BORDERS, label_of, origin_of, paint_of
from concview.tui.widgets.icicle import Box, Order, Path, descend, layout, matches

#: Boxes of two lines, the second with the place or the source, where the graph is no deeper than half the room.
TALL = 2
QUIET = Style(bold=False)


class FlameGraph(ScrollView, can_focus=True, inherit_bindings=False):
    """`set_tree` draws; the selection and the zoom are paths, so they stay with their calls in new data."""

    DEFAULT_CSS = "FlameGraph { height: 1fr; width: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }"

    class Chosen(Message):
        """Another box is selected, or the zoom changed."""

    class Resized(Message):
        pass

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.calls_root: Node | None = None
        self.why_empty = ""
        self.zoom: Path = ()
        self.zooms: list[Path] = []  #: where Escape leads
        self.chosen: Path = ()
        self.needle = ""
        self.rows: list[list[Box]] = []
        self.base: Path = ()  #: the zoom as far as the tree has it
        self._order = Order()
        self._strips: dict[int, Strip] = {}
        self._laid_for = (0, 0)
        self.tall = 1

    # ------------------------------------------------------------ data

    def set_tree(self, tree: Node | None, why_empty: str = "") -> None:
        self.calls_root, self.why_empty = tree, why_empty
        self.lay_out()

    def lay_out(self) -> None:
        """Lay the boxes out anew: other data, another zoom, another width."""
        width = self.room
        self._laid_for = (width, self.size.height)
        self.rows, self.base = [], ()
        if self.calls_root is not None:
            root, self.base = descend(self.calls_root, self.zoom)
            self.rows = layout(root, width, self._order, hash(self.base))
        self.tall = TALL if len(self.rows) * TALL <= self.size.height else 1
        size = Size(1, max(1, len(self.rows) * self.tall))
        if size != self.virtual_size:
            self.virtual_size = size
        self.repaint()

    @property
    def room(self) -> int:
        """A scrollbar always has its place, so that its coming does not shift the boxes."""
        return max(1, (self.container_size.width or self.size.width) - 1)

    def on_resize(self) -> None:
        if (self.room, self.size.height) != self._laid_for:
            self.lay_out()
            self.post_message(self.Resized())

    @property
    def box(self) -> Box | None:
        """The selected box, or the innermost of its callers that is drawn."""
        if not self.rows:
            return None
        box = self.rows[0][0]
        if self.chosen[: len(self.base)] != self.base:
            return box
        for key in self.chosen[len(self.base) :]:
            child = next((c for c in box.children if c.node.key == key), None)
            if child is None:
                break
            box = child
        return box

    # ------------------------------------------------------------ moving

    def choose(self, box: Box) -> None:
        self.chosen = self.base + box.path
        depth = len(box.path) * self.tall
        first, page = self.scroll_offset.y, max(1, self.size.height)
        if depth < first:
            self.scroll_to(y=depth, animate=False, force=True)
        elif depth >= first + page:
            self.scroll_to(y=depth - page + 1, animate=False, force=True)
        self.repaint()
        self.post_message(self.Chosen())

    def move(self, way: str) -> None:
        box = self.box
        if box is None:
            return
        goal: Box | None = None
        if way == "up":
            goal = box.parent
        elif way == "down":
            goal = _widest(box)
        elif way == "top":
            goal = self.rows[0][0]
        elif way == "bottom":
            goal = box
            while (below := _widest(goal)) is not None:
                goal = below
        else:
            row = [b for b in self.rows[len(box.path)] if not b.rest]
            at = row.index(box) + (1 if way == "right" else -1)
            goal = row[at] if 0 <= at < len(row) else None
        if goal is not None:
            self.choose(goal)

    def zoom_in(self) -> None:
        box = self.box
        if box is not None and box.parent is not None:
            self.zooms.append(self.zoom)
            self._zoom_to(self.base + box.path)

    def zoom_to(self, path: Path) -> None:
        self.zooms.append(self.zoom)
        self._zoom_to(path)

    def zoom_out(self) -> bool:
        if not self.zooms:
            return False
        self._zoom_to(self.zooms.pop(), keep=True)
        return True

    def _zoom_to(self, path: Path, keep: bool = False) -> None:
        self.zoom = path
        if not keep:
            self.chosen = path
        self.scroll_to(y=0, animate=False, force=True)
        self.lay_out()
        self.post_message(self.Chosen())

    def on_click(self, event: events.Click) -> None:
        y = (self.scroll_offset.y + event.y) // self.tall
        if y >= len(self.rows):
            return
        box = next((b for b in self.rows[y] if b.x <= event.x < b.x + b.width and not b.rest), None)
        if box is not None:
            self.choose(box)
            if event.chain >= 2:
                self.zoom_in()

    # ------------------------------------------------------------ drawing

    def repaint(self) -> None:
        """Ask for new paint only where a line differs from what is on screen."""
        before, self._strips = self._strips, {}
        if not self.size.width or not self.is_attached:
            return
        first = self.scroll_offset.y
        width = self.size.width
        changed = [
            Region(0, y, width, 1)
            for y in range(self.size.height)
            if before.get(first + y) != self._strip(first + y, width)
        ]
        if changed:
            self.refresh(*changed)

    def restyle(self) -> None:
        self._strips.clear()
        self.refresh()

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def render_line(self, y: int) -> Strip:
        return self._strip(self.scroll_offset.y + y, self.size.width)

    def _strip(self, at: int, width: int) -> Strip:
        strip = self._strips.get(at)
        if strip is None or strip.cell_length != width:
            palette = palette_of(self)
            strip = self._strips[at] = strip_of(self._line(at, width, palette), width, palette.base)
        return strip

    def _line(self, at: int, width: int, palette: Palette) -> Line:
        if not self.rows:
            words = wrap(self.why_empty, max(8, width - 2))
            return [Segment(f" {words[at - 1]}", palette.dim)] if 1 <= at <= len(words) else []
        depth, second = divmod(at, self.tall)
        if depth >= len(self.rows):
            return []
        paint, chosen, needle = paint_of(self), self.box, self.needle.lower()
        line: Line = []
        x = 0
        for number, box in enumerate(self.rows[depth]):
            if box.x > x:
                line.append(Segment(" " * (box.x - x), palette.base))
            x = box.x + box.width
            if box.rest:
                line.append(Segment("·" * box.width, palette.faint))
                continue
            origin = origin_of(box.node)
            hit = bool(needle) and box.parent is not None and matches(box.node, needle)
            style = (paint.faded if needle else paint.boxes[origin])[number % 2]
            border = BORDERS[origin]
            if hit:
                style, border = paint.found, "◆"
            if box is chosen:
                style, border = paint.chosen, border if second else "▸"
            label = self._place(box, box.width - 1) if second else self._label(box, box.width - 1)
            line.append(Segment(border + label, style + QUIET if second else style))
        return line

    def _label(self, box: Box, width: int) -> str:
        if width < 3:
            return " " * width
        name = label_of(box.node, width)
        assert self.calls_root is not None
        share = text.percent(box.node.total_ns / max(1, self.calls_root.total_ns))
        if len(name) + len(share) + 2 <= width:
            return fit(name, width - len(share) - 1) + share + " "
        return fit(name, width)

    def _place(self, box: Box, width: int) -> str:
        """The second line of a box: the user's own source, else where it is."""
        frame = box.node.frame
        if width < 6 or not frame.file:
            return " " * max(0, width)
        place = f"{text.file_name(frame.file)}:{frame.line}"
        if frame.origin == "user" and frame.text and width > len(place) + 12:
            place = f"{place}  {frame.text}"
        return fit(place, width)

    def as_text(self) -> list[str]:
        """The whole tree below the zoom, indented, with shares of everything."""
        if not self.rows or self.calls_root is None:
            return list(wrap(self.why_empty, 78))
        lines: list[str] = []
        todo = [(self.rows[0][0].node, 0)]
        while todo:
            node, depth = todo.pop()
            share = text.percent(node.total_ns / max(1, self.calls_root.total_ns), 1)
            place = f"  ({node.frame.file}:{node.frame.line})" if node.frame.file else ""
            lines.append(f"{share:>8}  {'  ' * depth}{node.key[0]}{place}")
            todo += [(child, depth + 1) for child in reversed(node.sorted_children())]
        return lines


def _widest(box: Box) -> Box | None:
    return max(box.children, key=lambda b: b.node.total_ns, default=None)

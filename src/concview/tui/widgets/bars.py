"""The three fixed lines of the screen: header, tabs and footer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from concview.tui.keys import Key
from concview.tui.text_render import Line, cells, differences, signed, strip_of
from concview.tui.theme import palette_of


class Bar(Widget):
    """Lines drawn by hand, repainted only when they change."""

    DEFAULT_CSS = "Bar { height: 1; width: 100%; }"

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._rows: list[Strip] = []

    def set_lines(self, lines: Sequence[Line]) -> None:
        width = self.size.width
        if not width:
            return
        style = palette_of(self).bar
        rows = [strip_of(signed(line, width), width, style) for line in lines]
        changed = [
            Region(start, y, end - start, 1)
            for y, row in enumerate(rows)
            for start, end in differences(self._rows[y] if y < len(self._rows) else None, row)
        ]
        self._rows = rows
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        if y < len(self._rows) and self._rows[y].cell_length == self.size.width:
            return self._rows[y]
        return Strip.blank(self.size.width, palette_of(self).bar)

    def as_text(self) -> list[str]:
        return [row.text.rstrip() for row in self._rows]


def _tab(number: int, title: str, mark: str, marks: bool, space: str) -> str:
    """'3 Findings ▲2'. The mark of the findings stays whatever happens: it is why somebody looks."""
    key = str(number) if number < 10 else title[0] if space else ""  # its first letter is its key
    said = f"{key}{space}{title}".rstrip()
    return f"{said} {mark}" if mark and (marks or mark.startswith("▲")) else said


class Tabs(Bar):
    """'1 Overview  2 Threads ...': the numbers are the keys."""

    class Chosen(Message):
        def __init__(self, view: str) -> None:
            super().__init__()
            self.view = view

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._at: list[tuple[int, int, str]] = []
        self.marked = ""  #: the view that is shown as the open one

    def show(self, tabs: Sequence[tuple[str, int, str, str, str]], active: str) -> None:
        """`tabs`: view, number, title, a shorter one, mark.

        Short of room, marks give way first, then the longer titles, then the space behind the numbers, and only then
        are titles cut.
        """
        palette, width = palette_of(self), self.size.width
        self.marked = active
        for short, letters, marks, gap, space in (
            (False, 99, True, "  ", " "),
            (False, 99, False, "  ", " "),
            (False, 99, False, "", " "),
            (True, 99, False, "", " "),
            (True, 99, False, "", ""),
            (True, 4, False, "", " "),
            (True, 3, False, "", " "),
            (True, 2, False, "", " "),
            (True, 0, False, "", ""),
        ):
            texts = []
            for view, number, title, brief, mark in tabs:
                here = view == active
                name = brief if short else title
                words = _tab(number, name if here and letters != 3 else name[:letters], mark, marks, space)
                texts.append(f" {words}{gap}" if short or not here else f" {words} ")
            if sum(map(len, texts)) <= width:
                break
        line: Line = []
        self._at = []
        for (view, *_), words in zip(tabs, texts, strict=True):
            start = cells(line)
            if view == active:
                line.append(Segment(words, palette.badges["info"]))
            else:
                # The number is the key; it also keeps the names apart where there is no room between them.
                line += [Segment(words[:2], palette.head_sorted), Segment(words[2:], palette.head)]
            self._at.append((start, start + len(words), view))
        line.append(Segment(" " * max(0, width - cells(line)), palette.head))
        self.set_lines([line])

    def on_click(self, event: events.Click) -> None:
        for start, end, view in self._at:
            if start <= event.x < end:
                self.post_message(self.Chosen(view))


class Footer(Bar):
    """The keys that matter here; a click does the same."""

    class Pressed(Message):
        def __init__(self, key: Key) -> None:
            super().__init__()
            self.key = key

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._at: list[tuple[int, int, Key]] = []

    def show(self, keys: Sequence[Key], note: str = "") -> None:
        palette = palette_of(self)
        line: Line = []
        self._at = []
        keep = keys[-2:]  # help and quit stay however narrow it is
        room = self.size.width - sum(len(k.shown) + len(k.label) + 4 for k in keep)
        for key in keys:
            start = cells(line)
            length = len(key.shown) + len(key.label) + 4
            if key not in keep and start + length > room:
                continue
            line += [Segment(f" {key.shown} ", palette.bar_bright), Segment(f"{key.label}  ", palette.bar_dim)]
            self._at.append((start, cells(line), key))
        if note and self.size.width - cells(line) > len(note) + 1:
            line.append(Segment(" " * (self.size.width - cells(line) - len(note) - 1) + note, palette.bar_dim))
        self.set_lines([line])

    def on_click(self, event: events.Click) -> None:
        for start, end, key in self._at:
            if start <= event.x < end:
                self.post_message(self.Pressed(key))

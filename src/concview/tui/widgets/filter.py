"""The filter line: stays visible while a filter is active, with how many rows it leaves."""

from __future__ import annotations

from rich.segment import Segment
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from concview.tui.text_render import fit
from concview.tui.theme import palette_of


class _Word(Widget):
    """A few words in the filter line."""

    DEFAULT_CSS = "_Word { height: 1; width: auto; }"

    def __init__(self, word: str, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.word = word

    def say(self, word: str) -> None:
        if word != self.word:
            self.word = word
            self.styles.width = len(word)
            self.refresh()

    def on_mount(self) -> None:
        self.styles.width = len(self.word)

    def render_line(self, y: int) -> Strip:
        return Strip([Segment(fit(self.word, self.size.width), palette_of(self).title)])


class FilterBar(Horizontal):
    DEFAULT_CSS = """
    FilterBar { height: 1; display: none; dock: bottom; }
    FilterBar Input { width: 1fr; border: none; height: 1; padding: 0 1; background: $panel; }
    FilterBar Input:focus { border: none; background: $panel; }
    """

    def __init__(self, label: str = "filter", hint: str = "") -> None:
        super().__init__()
        self.label, self.hint = label, hint

    def compose(self) -> ComposeResult:
        yield _Word(f"{self.label} ", "filter-label")
        # As in the command line: letters typed before the news of the focus stay.
        yield Input(id="filter-input", compact=True, placeholder=self.hint, select_on_focus=False)
        yield _Word("", "filter-count")

    @property
    def field(self) -> Input:
        return self.query_one(Input)

    def open(self) -> None:
        self.display = True
        # At once: letters typed right behind the slash belong to the field, not to the bindings.
        self.screen.set_focus(self.field)

    def close(self, keep: bool) -> None:
        if not keep or not self.field.value:
            self.field.value = ""
            self.display = False

    def count(self, shown: int, total: int) -> None:
        self.say(f"{shown} of {total}")

    def say(self, words: str) -> None:
        self.query_one("#filter-count", _Word).say(f" {words} " if words else "")

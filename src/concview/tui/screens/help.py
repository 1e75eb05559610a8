"""The help: every key from the table, and what glyphs mean."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen

from concview.tui.keys import Key, table
from concview.tui.text_render import Line, beside, cells, fit, wrap
from concview.tui.theme import GLYPHS, MEANINGS, WORDS, Palette, palette_of
from concview.tui.widgets.page import Page


def _said(name: Line, words: str, width: int, palette: Palette) -> list[Line]:
    """A name and what it means, wrapped behind it: help that is cut is none."""
    room = cells(name)
    first, *rest = wrap(words, width - room)
    more = [[Segment(" " * room + part, palette.base)] for part in rest]
    return [[*name, Segment(first, palette.base)], *more]


def _keys(scopes: frozenset[str], palette: Palette, width: int) -> list[Line]:
    groups: dict[str, list[Key]] = {}
    for key in table():
        if key.scope in scopes and not (key.id.startswith("tab_") and key.id not in ("tab_1", "tab_10")):
            groups.setdefault(key.group, []).append(key)
    lines: list[Line] = []
    for group, members in groups.items():
        lines.append([Segment(group, palette.title)])
        for key in members:
            shown, said = ("1-9", "the view with that number") if key.id == "tab_1" else (key.shown, key.help)
            lines += _said([Segment(fit(f"  {shown}", 11), palette.bright)], said, width, palette)
        lines.append([])
    return lines


def _states(palette: Palette, width: int) -> list[Line]:
    lines: list[Line] = [[Segment("States of a thread", palette.title)]]
    for state, glyph in GLYPHS.items():
        name = [Segment(f"  {glyph * 2} ", palette.states[state]), Segment(fit(WORDS[state], 10), palette.bright)]
        lines += _said(name, MEANINGS[state], width, palette)
    lines += [
        [],
        [Segment("Findings", palette.title)],
        *_said([Segment("  ▲ WARN    ", palette.error)], "act on it", width, palette),
        *_said([Segment("  ● INFO    ", palette.warn)], "worth knowing", width, palette),
        *_said([Segment("  past      ", palette.dim)], "fired within the last minute", width, palette),
        [],
        [Segment("How sure it is", palette.title)],
        *_said([Segment("  exact     ", palette.bright)], "read from memory or from the kernel", width, palette),
        *_said([Segment("  inferred  ", palette.bright)], "concluded from the source code", width, palette),
        *_said([Segment("  statistical ", palette.bright)], "estimated from samples", width, palette),
        [],
        [Segment("Threads", palette.title)],
        *_said([Segment("  ●         ", palette.states[0])], "holds the GIL now", width, palette),
        *_said([Segment("  GILw%     ", palette.bright)], "share of time waiting for the GIL", width, palette),
        *_said([Segment("  CPUw%     ", palette.bright)], "the same for a CPU", width, palette),
    ]
    return lines


class Help(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,enter", "dismiss", "close the help", show=False),
    ]
    DEFAULT_CSS = """
    Help { align: center middle; background: $background 60%; }
    Help #box {
        width: 92%; max-width: 124; height: 90%;
        border: round $primary; padding: 0 1; background: $background;
    }
    """

    def __init__(self, scopes: frozenset[str]) -> None:
        super().__init__()
        self.scopes = scopes

    def compose(self) -> ComposeResult:
        with Container(id="box"):
            yield Page(id="help")

    def on_mount(self) -> None:
        self.query_one("#box").border_title = "concview: keys"
        self.query_one("#box").border_subtitle = "esc closes"
        self.call_after_refresh(self.draw)

    def on_page_resized(self) -> None:
        self.draw()

    def draw(self) -> None:
        page = self.query_one(Page)
        palette, width = palette_of(self), page.room
        if width >= 96:
            half = (width - 3) // 2
            lines = beside(_keys(self.scopes, palette, half), _states(palette, half), half, "   ", palette.base)
        else:
            lines = [*_keys(self.scopes, palette, width), *_states(palette, width)]
        page.set_lines(lines)
        page.focus()

"""The help: every key from the table, and what glyphs mean."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen

from concview.tui.ink import Line, beside, fit
from concview.tui.keys import KEYS, Key
from concview.tui.theme import GLYPHS, MEANINGS, WORDS, Palette, palette_of
from concview.tui.widgets.page import Page


def _keys(scopes: frozenset[str], palette: Palette, width: int) -> list[Line]:
    groups: dict[str, list[Key]] = {}
    for key in KEYS:
        if key.scope in scopes and not (key.id.startswith("tab_") and key.id != "tab_1"):
            groups.setdefault(key.group, []).append(key)
    lines: list[Line] = []
    for group, members in groups.items():
        lines.append([Segment(group, palette.title)])
        for key in members:
            shown, said = ("1-9", "the view with that number") if key.id == "tab_1" else (key.shown, key.help)
            lines.append(
                [Segment(fit(f"  {shown}", 11), palette.bright), Segment(fit(said, max(1, width - 11)), palette.base)]
            )
        lines.append([])
    return lines


def _states(palette: Palette, width: int) -> list[Line]:
    lines: list[Line] = [[Segment("States of a thread", palette.title)]]
    for state, glyph in GLYPHS.items():
        lines.append(
            [
                Segment(f"  {glyph * 2} ", palette.states[state]),
                Segment(fit(WORDS[state], 10), palette.bright),
                Segment(fit(MEANINGS[state], max(1, width - 15)), palette.base),
            ]
        )
    lines += [
        [],
        [Segment("Findings", palette.title)],
        [Segment("  ▲ WARN    ", palette.error), Segment(fit("act on it", max(1, width - 12)), palette.base)],
        [Segment("  ● INFO    ", palette.warn), Segment(fit("worth knowing", max(1, width - 12)), palette.base)],
        [
            Segment("  past      ", palette.dim),
            Segment(fit("fired within the last minute", max(1, width - 12)), palette.base),
        ],
        [],
        [Segment("Threads", palette.title)],
        [
            Segment("  ●         ", palette.states[0]),
            Segment(fit("holds the GIL now", max(1, width - 12)), palette.base),
        ],
        [
            Segment("  GILw%     ", palette.bright),
            Segment(fit("share of time waiting for the GIL", max(1, width - 12)), palette.base),
        ],
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

"""How boxes of a flame graph look: a ground and a border by the origin of the code, a label that fits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rich.style import Style
from textual.color import Color
from textual.widget import Widget

from concview.analysis.calltree import Node

#: The left border of a box tells its origin without colour.
BORDERS = {"user": "┃", "library": "│", "stdlib": "┆", "native": "╎", "root": " "}
ORIGINS = ("user", "library", "stdlib", "native")
_DARK = {"user": "#8a4b12", "library": "#1c4f63", "stdlib": "#2c3648", "native": "#4b3566", "root": "#1f2733"}
_LIGHT = {"user": "#ffd49a", "library": "#bfe2ee", "stdlib": "#dfe4ec", "native": "#e2d3f5", "root": "#e2e6ec"}
_ANSI = {"user": "yellow", "library": "cyan", "stdlib": "white", "native": "magenta", "root": "white"}


def origin_of(node: Node) -> str:
    origin = node.frame.origin
    return "stdlib" if origin == "frozen" else origin if origin in BORDERS else "library"


def label_of(node: Node, width: int) -> str:
    """The name as far as it fits: in full, its last part, or cut."""
    name, line = node.key[0], f":{node.key[2]}" if node.key[2] else ""
    if len(name) + len(line) > width and node.frame.origin != "root":
        name = name.rpartition(".")[2] or name
    return name + line


@dataclass(frozen=True, slots=True)
class Paint:
    """Grounds by origin, two tints each so that neighbours differ."""

    boxes: dict[str, tuple[Style, Style]]
    faded: tuple[Style, Style]
    chosen: Style
    found: Style


@lru_cache(8)
def _paint(palette_id: str, ansi: bool, dark: bool, back: str, accent: str) -> Paint:
    if ansi:
        boxes = {o: (Style(color="black", bgcolor=c), Style(color="black", bgcolor=c)) for o, c in _ANSI.items()}
        plain = Style(color="default", bgcolor="default", dim=True)
        chosen = Style(color="default", bgcolor="default", reverse=True, bold=True)
        return Paint(boxes, (plain, plain), chosen, Style(color="black", bgcolor="bright_green", bold=True))
    ground, ink = Color.parse(back), Color.parse("#f4f6fa" if dark else "#10151d")

    def on(colour: Color, front: Color, bold: bool = False) -> Style:
        return Style(color=front.rich_color, bgcolor=colour.rich_color, bold=bold)

    def pair(colour: Color, front: Color, bold: bool = False) -> tuple[Style, Style]:
        return on(colour, front, bold), on(colour.blend(ground, 0.24), front, bold)

    boxes = {
        o: pair(Color.parse(c), ink if o == "user" else ink.blend(ground, 0.14), o == "user")
        for o, c in (_DARK if dark else _LIGHT).items()
    }
    quiet = Color.parse((_DARK if dark else _LIGHT)["root"]).blend(ground, 0.4)
    return Paint(
        boxes,
        pair(quiet, ink.blend(ground, 0.5)),
        on(ink, Color.parse("#0b0e13" if dark else "#ffffff"), True),
        on(Color.parse(accent), Color.parse("#0b0e13" if dark else "#ffffff"), True),
    )


def paint_of(widget: Widget) -> Paint:
    theme, variables = widget.app.current_theme, widget.app.theme_variables
    return _paint(theme.name, theme.ansi, theme.dark, variables["background"], variables["accent"])

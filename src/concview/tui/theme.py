"""Colours: our default theme, and the styles computed once from whatever theme is active.

Colour is never the only carrier: every state has a glyph, every severity a symbol and a word. The state colours are
spaced in hue and lightness after Okabe and Ito, so that they stay apart for colour-blind readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rich.style import Style
from textual.color import Color
from textual.theme import Theme

from concview.model import Severity, State

if TYPE_CHECKING:
    from textual.widget import Widget

DARK = Theme(
    name="concview-dark",
    primary="#7aa2f7",
    secondary="#58a6e6",
    accent="#7dcfff",
    foreground="#d3dae6",
    background="#0f131a",
    surface="#151a23",
    panel="#1f2733",
    success="#3fbf8f",
    warning="#f2a93b",
    error="#ef5d6f",
    dark=True,
    variables={"block-cursor-background": "#26344d", "block-cursor-foreground": "#ffffff"},
)
LIGHT = Theme(
    name="concview-light",
    primary="#2455b5",
    secondary="#0b63b0",
    accent="#0b63b0",
    foreground="#1f2733",
    background="#fafbfc",
    surface="#f0f2f5",
    panel="#e2e6ec",
    success="#0b7a55",
    warning="#a85b00",
    error="#b3123f",
    dark=False,
)

#: Nothing between black and white but what means something.
CONTRAST = Theme(
    name="concview-contrast",
    primary="#ffff00",
    secondary="#00ffff",
    accent="#00ffff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#303030",
    success="#00ff7f",
    warning="#ffd700",
    error="#ff6060",
    dark=True,
    variables={"block-cursor-background": "#ffff00", "block-cursor-foreground": "#000000"},
)
#: The colours of Okabe and Ito themselves (Color Universal Design, 2008): apart in every kind of colour blindness.
COLOUR_BLIND = Theme(
    name="concview-colour-blind",
    primary="#56b4e9",
    secondary="#56b4e9",
    accent="#56b4e9",
    foreground="#e6e6e6",
    background="#101216",
    surface="#161a20",
    panel="#242a33",
    success="#009e73",
    warning="#e69f00",
    error="#d55e00",
    dark=True,
)
OURS = (DARK, LIGHT, CONTRAST, COLOUR_BLIND)
#: What settings call them -> the theme's name.
CHOICES = {
    "dark": DARK.name,
    "light": LIGHT.name,
    "ansi": "ansi-dark",
    "ansi-light": "ansi-light",
    "contrast": CONTRAST.name,
    "colour-blind": COLOUR_BLIND.name,
}

#: One glyph a state: in the strip, the bar, the legend and the state column alike.
GLYPHS: dict[State, str] = {
    State.RUNNING: "█",
    State.RUNNABLE: "▓",
    State.GIL: "▒",
    State.LOCK: "×",
    State.IO: "≈",
    State.SLEEP: "-",
    State.IDLE: "·",
    State.UNKNOWN: "?",
}
WORDS: dict[State, str] = {
    State.RUNNING: "running",
    State.RUNNABLE: "runnable",
    State.GIL: "GIL",
    State.LOCK: "lock",
    State.IO: "I/O",
    State.SLEEP: "sleep",
    State.IDLE: "idle",
    State.UNKNOWN: "unknown",
}
MEANINGS: dict[State, str] = {
    State.RUNNING: "on a CPU",
    State.RUNNABLE: "ready to run, waits for a CPU",
    State.GIL: "waits for the GIL",
    State.LOCK: "waits for a lock, a full queue or another thread",
    State.IO: "blocked in a system call on a file, socket or pipe",
    State.SLEEP: "sleeps on purpose",
    State.IDLE: "a worker that waits for work",
    State.UNKNOWN: "could not be determined",
}
_DARK_STATES = ("#35b88a", "#e3d24f", "#f2a93b", "#e8556d", "#58a6e6", "#6d7b99", "#4a566b", "#9aa0a8")
_LIGHT_STATES = ("#0b7a55", "#8f7a00", "#c46a00", "#b3123f", "#0b63b0", "#76819b", "#a4adbb", "#6d737b")
#: Themes whose states have colours of their own.
_OWN_STATES = {
    CONTRAST.name: ("#00ff7f", "#ffff00", "#ffa500", "#ff6060", "#60b0ff", "#b0b0b0", "#808080", "#ffffff"),
    COLOUR_BLIND.name: ("#009e73", "#f0e442", "#e69f00", "#d55e00", "#56b4e9", "#8f8f9f", "#5c6270", "#cc79a7"),
}
#: How much of a state's colour is in the ground of its cells.
_TINTS = (0.0, 0.35, 0.3, 0.34, 0.3, 0.1, 0.0, 0.1)
_ANSI_STATES = ("green", "yellow", "bright_yellow", "red", "blue", "cyan", "bright_black", "white")

#: Severity -> symbol, word.
SEVERITIES: dict[Severity, tuple[str, str]] = {Severity.WARN: ("▲", "WARN"), Severity.INFO: ("●", "INFO")}


@dataclass(frozen=True, slots=True)
class Palette:
    """Styles ready for segments, foreground and background set."""

    base: Style
    bright: Style
    dim: Style
    faint: Style
    accent: Style
    title: Style
    ok: Style
    info: Style
    warn: Style
    error: Style
    bar: Style  #: header, footer: text on the panel colour
    bar_dim: Style
    bar_bright: Style
    head: Style  #: table header
    head_sorted: Style
    select: Style  #: laid over a selected row
    select_idle: Style  #: the same in a table without focus
    states: tuple[Style, ...]  #: glyphs and words of a state
    cells: tuple[Style, ...]  #: the glyph as part of a bar or strip: a wait is tinted, so that it reads as an area
    badges: dict[str, Style]  #: 'ok', 'info', 'warn', 'error', 'mute': dark text on the colour

    def severity(self, severity: Severity, recent: bool = False) -> Style:
        if recent:
            return self.dim
        return self.error if severity is Severity.WARN else self.warn


@lru_cache(8)
def _palette(name: str, ansi: bool, dark: bool, colours: tuple[tuple[str, str], ...]) -> Palette:
    get = dict(colours)
    if ansi:
        return _ansi_palette(dark)
    back, fore, panel, surface = (Color.parse(get[n]) for n in ("background", "foreground", "panel", "surface"))

    def on(colour: Color | str, ground: Color = back, **extra: bool) -> Style:
        front = Color.parse(colour) if isinstance(colour, str) else colour
        return Style(color=front.rich_color, bgcolor=ground.rich_color, **extra)  # type: ignore[arg-type]

    dim, faint = fore.blend(back, 0.42), fore.blend(back, 0.66)
    ok, warn, error, accent = get["success"], get["warning"], get["error"], get["accent"]
    cursor = back.blend(Color.parse(get["primary"]), 0.26)
    hues = _OWN_STATES.get(name, _DARK_STATES if dark else _LIGHT_STATES)
    ink = Color.parse("#0b0e13") if dark else Color.parse("#ffffff")
    bright = Color.parse("#ffffff") if dark else Color.parse("#000000")
    return Palette(
        base=on(fore),
        bright=on(bright, bold=True),
        dim=on(dim),
        faint=on(faint),
        accent=on(accent),
        title=on(accent, bold=True),
        ok=on(ok, bold=True),
        info=on(accent),
        warn=on(warn, bold=True),
        error=on(error, bold=True),
        bar=on(fore, panel),
        bar_dim=on(fore.blend(panel, 0.38), panel),
        bar_bright=on(bright, panel, bold=True),
        head=on(dim, surface),
        head_sorted=on(accent, surface, bold=True),
        select=Style(bgcolor=cursor.rich_color),
        select_idle=Style(bgcolor=back.blend(fore, 0.08).rich_color),
        states=tuple(on(c) for c in hues),
        cells=tuple(on(c, back.blend(Color.parse(c), tint)) for c, tint in zip(hues, _TINTS, strict=True)),
        badges={
            "ok": on(ink, Color.parse(ok), bold=True),
            "info": on(ink, Color.parse(accent), bold=True),
            "warn": on(ink, Color.parse(warn), bold=True),
            "error": on(ink, Color.parse(error), bold=True),
            "mute": on(ink, dim, bold=True),
        },
    )


def _ansi_palette(dark: bool) -> Palette:
    """For the ANSI themes: the terminal's own sixteen colours and its own background."""

    def on(colour: str, **extra: bool) -> Style:
        return Style(color=colour, bgcolor="default", **extra)  # type: ignore[arg-type]

    def badge(colour: str) -> Style:
        return Style(color="black" if dark else "white", bgcolor=colour, bold=True)

    back = "white" if not dark else "bright_black"
    return Palette(
        base=on("default"),
        bright=on("default", bold=True),
        dim=on("default", dim=True),
        faint=on("bright_black"),
        accent=on("cyan"),
        title=on("cyan", bold=True),
        ok=on("green", bold=True),
        info=on("cyan"),
        warn=on("yellow", bold=True),
        error=on("red", bold=True),
        bar=on("default", reverse=True),
        bar_dim=on("default", reverse=True),
        bar_bright=on("default", reverse=True, bold=True),
        head=on("default", underline=True),
        head_sorted=on("cyan", underline=True, bold=True),
        select=Style(bgcolor=back, bold=True),
        select_idle=Style(bgcolor=back),
        states=tuple(on(c) for c in _ANSI_STATES),
        cells=tuple(on(c) for c in _ANSI_STATES),
        badges={
            "ok": badge("green"),
            "info": badge("cyan"),
            "warn": badge("yellow"),
            "error": badge("red"),
            "mute": badge("white" if dark else "bright_black"),
        },
    )


_USED = ("background", "foreground", "panel", "surface", "success", "warning", "error", "accent", "primary")


def palette_of(widget: Widget) -> Palette:
    """The styles for the theme that is active."""
    app = widget.app
    theme = app.current_theme
    variables = app.theme_variables
    return _palette(theme.name, theme.ansi, theme.dark, tuple((n, variables[n]) for n in _USED))

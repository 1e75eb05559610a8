"""The screen as SVG, as Textual makes it, with the colours of a terminal where the theme leaves them to that."""

from __future__ import annotations

import io

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from textual.app import App

#: xterm's sixteen colours. Rich's own for pictures have a "bright black" as light as its text, which hides a selected
#: row.
_NORMAL = [
    (0, 0, 0), (205, 49, 49), (13, 188, 121), (229, 229, 16), (36, 114, 200), (188, 63, 188), (17, 168, 205),
    (229, 229, 229), (80, 80, 80),
]  # fmt: skip
_BRIGHT = [
    (241, 76, 76), (35, 209, 139), (245, 245, 67), (59, 142, 234), (214, 112, 214), (41, 184, 219), (255, 255, 255),
]  # fmt: skip
_DARK = TerminalTheme((16, 16, 16), (229, 229, 229), _NORMAL, _BRIGHT)
#: On white, yellow and green are darker, as terminals with a light ground have them.
_ON_WHITE = [
    (0, 0, 0), (205, 49, 49), (0, 122, 60), (148, 110, 0), (4, 81, 165), (188, 5, 188), (5, 115, 145),
    (222, 222, 222), (102, 102, 102),
]  # fmt: skip
_LIGHT = TerminalTheme((255, 255, 255), (30, 30, 30), _ON_WHITE, _ON_WHITE[1:8])


def svg(app: App[object]) -> str:
    """All of what is on the screen."""
    theme = app.current_theme
    if not theme.ansi:
        return app.export_screenshot(simplify=True)
    width, height = app.size
    console = Console(
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        record=True,
        legacy_windows=False,
        safe_box=False,
    )
    console.print(app.screen._compositor.render_update(full=True, screen_stack=app._background_screens, simplify=True))
    return console.export_svg(title=app.title, theme=_DARK if theme.dark else _LIGHT)

"""All that is private in Textual, and nothing else touches: the compositor, the parser of keys and the driver.

Textual's minor versions may change these without notice. Each part is tried when it is first asked for; where a
version does not have what it needs, Textual's own part serves: more bytes to the terminal, a slower Esc, nothing
missing. `tests/tui/test_textual_private.py` fails on such a version and names what is gone; it also sees that no other
module imports what is private (import-linter knows libraries only as a whole).
"""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.driver import Driver as StockDriver
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen

if TYPE_CHECKING:
    from concview.tui.textual_private.terminal import Terminal

#: module, class ('' for what the module itself has; with '()' for an attribute of its instances), member: what is used
#: and belongs to nobody but Textual. A member with names behind it is called with these arguments.
COMPOSITOR: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("textual._compositor", "CompositorUpdate", "render_segments", ("self", "console")),
    ("textual._compositor", "Compositor", "render_partial_update", ("self",)),
    ("textual._compositor", "Compositor", "render_full_update", ("self", "simplify")),
    ("textual._compositor", "Compositor", "_regions_to_spans", ("regions",)),
    ("textual._compositor", "Compositor", "visible_widgets", ()),
    ("textual._compositor", "Compositor()", "_dirty_regions", ()),
)
DRIVER: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("textual._parser", "", "Read1", ("timeout",)),
    ("textual._parser", "Parser", "feed", ("self", "data")),
    ("textual._parser", "Parser", "tick", ("self",)),
    ("textual._parser", "Parser", "read1", ()),
    ("textual._xterm_parser", "XTermParser", "__init__", ("self", "debug")),
    ("textual._xterm_parser", "XTermParser()", "_timeout_time", ()),
    ("textual._xterm_parser", "XTermParser", "_sequence_to_key_events", ("self", "sequence", "alt")),
    ("textual._time", "", "get_time", ()),
    ("textual.drivers.linux_driver", "LinuxDriver", "run_input_thread", ("self",)),
    ("textual.drivers.linux_driver", "LinuxDriver", "start_application_mode", ("self",)),
    ("textual.drivers.linux_driver", "LinuxDriver", "disable_input", ("self",)),
    ("textual.screen", "Screen", "_compositor_refresh", ("self",)),
    ("textual.drivers.linux_driver", "LinuxDriver", "process_message", ("self", "message")),
)


def missing(parts: tuple[tuple[str, str, str, tuple[str, ...]], ...]) -> list[str]:
    """What this version of Textual does not have, or has with other arguments."""
    gone = []
    for module, owner, member, arguments in parts:
        where = f"{module}.{owner}.{member}".replace("..", ".")
        try:
            found: Any = import_module(module)
            if owner:
                found = getattr(found, owner.removesuffix("()"))
                found = found() if owner.endswith("()") else found
            found = getattr(found, member)
            parameters = list(inspect.signature(found).parameters.values()) if arguments else []
        except (ImportError, AttributeError, TypeError, ValueError):
            gone.append(where)
            continue
        takes = tuple(p.name for p in parameters)
        optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        demanded = any(p.default is p.empty and p.kind not in optional for p in parameters[len(arguments) :])
        if takes[: len(arguments)] != arguments or demanded:
            gone.append(f"{where}({', '.join(takes)})")
    return gone


@cache
def compositor_class() -> Any:
    """A compositor class of ours; None: this Textual keeps its own."""
    if missing(COMPOSITOR):
        return None
    from concview.tui.textual_private.compositor import TightCompositor

    return TightCompositor


def driver_class(stock: type[StockDriver]) -> type[StockDriver]:
    """The driver for a terminal; `stock`, what Textual chose, for a browser, for tests, and where ours does not fit."""
    if stock is not LinuxDriver or missing(DRIVER):
        return stock
    from concview.tui.textual_private.driver import Driver

    return Driver


def use_tight_compositor(screen: Screen[Any]) -> None:
    """Give a new screen our compositor, where this Textual can take it."""
    ours = compositor_class()
    if ours is None:
        return
    made = ours()
    made.terminal = lambda: terminal_of(screen.app)
    made.later = lambda seconds: screen.app._driver.draw_later(seconds)  # type: ignore[union-attr]
    screen._compositor = made


def terminal_of(app: App[Any]) -> Terminal | None:
    """What is known of the terminal that an app draws on with our driver."""
    return getattr(app._driver, "terminal", None)


def forget(app: App[Any]) -> None:
    """The terminal may show anything by now: all of the next frame is sent."""
    terminal = terminal_of(app)
    if terminal is not None:
        terminal.forget()

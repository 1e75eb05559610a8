"""The mouse is optional: switched off, the terminal keeps it, to select text with."""

from __future__ import annotations

import time

import pytest
from running import Terminal

#: What asks a terminal for mouse events, and for pasted text to be marked, which comes after it.
MOUSE, PASTE = b"\x1b[?1000h", b"\x1b[?2004h"


@pytest.mark.parametrize(("mouse", "asks"), [("true", True), ("0", False)])
def test_the_terminal_is_asked_for_mouse_events_only_where_they_are_wanted(mouse: str, asks: bool) -> None:
    with Terminal(CONCVIEW_MOUSE=mouse) as terminal:
        end = time.monotonic() + 60
        while PASTE not in terminal.raw and time.monotonic() < end:
            terminal.read(0.2)
        terminal.wait_for("PYTHON")
        terminal.press("q")
        assert terminal.end() == 0
        assert PASTE in terminal.raw and (MOUSE in terminal.raw) is asks

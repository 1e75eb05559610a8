"""The first screen: says what is being opened, while Textual is still being imported.

That import is most of the time to the dashboard's own first picture. So nothing here needs Textual, nor anything else
that takes long. Textual then draws over it; when it does not come to that, the terminal is given back as it was.
"""

from __future__ import annotations

import gc
import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

#: The other screen, cleared, without a cursor; lines are cut at its edge rather than wrapped.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J\x1b[H\x1b[?7l"
_WRAP = "\x1b[?7h"
_LEAVE = "\x1b[?25h\x1b[?1049l"
#: The terminal's own settings while keys are not echoed: whoever is in a hurry types before anything is there.
_echoing: list[Any] = []


def _columns() -> int:
    try:
        return os.get_terminal_size(2).columns
    except OSError:
        return 80


def picture(doing: str, columns: int) -> str:
    """One line like the dashboard's header, in reverse so that it needs no colours. What is said meanwhile (that
    attaching takes long) stands below it."""
    said = f" concview  {doing}"
    return f"{_ENTER}\x1b[7m{said}{' ' * (columns - len(said))}\x1b[0m{_WRAP}\r\n"


@contextmanager
def screen(doing: str) -> Iterator[None]:
    """Show it. Whatever is raised before the end gets the terminal as it was before.

    Garbage is not collected until `begun`: imports make none worth the time.
    """
    gc.disable()
    _say(picture(doing, _columns()))
    _hush()
    try:
        yield
    except BaseException:
        echo()
        _say(_LEAVE)
        raise
    finally:
        echo()


def _hush() -> None:
    """Keys are kept for the dashboard, and not written over the picture meanwhile."""
    with suppress(termios.error, OSError, ValueError, AttributeError):
        known = termios.tcgetattr(sys.stdin)
        hushed = list(known)
        hushed[3] &= ~termios.ECHO
        termios.tcsetattr(sys.stdin, termios.TCSANOW, hushed)
        _echoing[:] = known


def echo() -> None:
    """As it was: before Textual keeps the terminal's settings for its own end, and when it does not come to that."""
    if _echoing:
        with suppress(termios.error, OSError, ValueError, AttributeError):
            termios.tcsetattr(sys.stdin, termios.TCSANOW, list(_echoing))
        _echoing.clear()


def begun() -> None:
    """The dashboard has drawn. What was imported stays: later collections need not look at it."""
    if not gc.isenabled():
        settled()
        gc.enable()


def settled() -> None:
    """What there is now stays as long as the program: a collection, which every key waits for, need not look at it."""
    gc.freeze()


def left() -> None:
    """A dashboard was left for another process: what it was made of does not stay."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _say(codes: str) -> None:
    # Where Textual writes, too.
    if sys.__stderr__ is not None:
        sys.__stderr__.write(codes)
        sys.__stderr__.flush()

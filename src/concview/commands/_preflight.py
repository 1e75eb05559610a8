"""Before anything that takes long: is that a Python process, is there a terminal, and a first picture on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from concview.commands.base import CommandError, Exit
from concview.tui.first import screen as screen

if TYPE_CHECKING:
    from concview.model import Target


#: Where the PIDs are to be had.
LISTED = "'concview' without arguments lists the Python processes"


def look_at(pid: int) -> Target:
    """A first, cheap look at a process, so that a wrong PID is told before anything else is."""
    from concview.errors import TargetError
    from concview.process import discovery

    try:
        return discovery.describe(pid)
    except TargetError as error:
        remedy = error.remedy
        if not remedy and error.exit_code == Exit.NO_TARGET:
            remedy = LISTED
        raise CommandError(str(error), error.exit_code, remedy) from None


#: Processes that are named for a word.
MOST_NAMED = 4


def processes_called(word: str) -> str:
    """Of a word that is no file and no command: the running processes that have it in their command line, by the PID
    that it takes."""
    from concview.process import discovery
    from concview.text import clean, listed

    wanted = os.path.basename(word).lower()  # noqa: PTH119 - any text, not a path
    own = os.getpid()
    found = [
        p
        for p in reversed(discovery.python_processes())  # a master before its workers
        if wanted and p.pid != own and wanted in " ".join((p.name, *p.command)).lower()
    ]
    if not found:
        return "a running process is named by its PID; 'concview' without arguments lists the Python processes"
    those = [f"{p.pid} ({clean(p.name, 40)})" for p in found]
    return f"a running process is named by its PID: {listed(those, MOST_NAMED)}"


@contextmanager
def reading(path: str) -> Iterator[None]:
    """What goes wrong while a recording is opened, as the command's failure."""
    from concview import codec

    try:
        yield
    except FileNotFoundError:
        raise CommandError(f"{path}: no such file", Exit.BAD_FILE, processes_called(path)) from None
    except codec.StreamError as error:
        raise CommandError(f"{path}: not a readable recording: {error}", Exit.BAD_FILE) from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}", Exit.BAD_FILE) from None


def require_terminal(instead: str) -> None:
    """The dashboard needs a terminal; `instead` says which commands do not."""
    for name, stream in (("input", sys.stdin), ("output", sys.stdout), ("error", sys.stderr)):
        if stream is None or not stream.isatty():
            raise CommandError(
                f"the dashboard needs a terminal, and standard {name} is not a terminal", Exit.USAGE, instead
            )
    if os.environ.get("TERM", "") == "dumb":
        raise CommandError("the dashboard needs a terminal that can move its cursor (TERM=dumb)", Exit.USAGE, instead)

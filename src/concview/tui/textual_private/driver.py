"""Reads the keyboard and writes to the terminal. Esc is answered soon: Textual looks ten times a second whether more
follows an escape byte."""

from __future__ import annotations

import os
import selectors
import sys
from codecs import getincrementaldecoder
from typing import Protocol, runtime_checkable

from textual import constants
from textual._parser import Read1
from textual._time import get_time
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from concview.tui.textual_private.encoding import carried

#: Seconds between looks whether the program ends.
IDLE_S = 0.1
#: Seconds in which the rest of an escape sequence must follow its first byte, unless ESCDELAY (in milliseconds) says
#: otherwise. A terminal sends all of it at once, and it mostly stays in one packet on its way; tmux waits 10 ms.
ESCAPE_S = constants.ESCAPE_DELAY if "ESCDELAY" in os.environ else 0.01


def _read1(timeout: float | None = None) -> Read1:
    return Read1(None if timeout is None else ESCAPE_S)


@runtime_checkable
class Hurried(Protocol):
    """An app that wants to know at once that something was typed, in the driver's thread."""

    def hurry(self) -> None: ...


class Parser(XTermParser):
    read1 = staticmethod(_read1)  # type: ignore[assignment]

    def patience(self) -> float:
        """Seconds until it wants its `tick`."""
        if self._timeout_time is None:
            return IDLE_S
        return max(0.0, self._timeout_time - get_time())


class Driver(LinuxDriver):
    def write(self, data: str) -> None:
        encoding = (sys.__stderr__.encoding if sys.__stderr__ is not None else "") or "ascii"  # what Textual writes to
        super().write(data if encoding.lower().startswith("utf") else carried(data, encoding))

    def run_input_thread(self) -> None:
        parser, decode = Parser(self._debug), getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(parser.patience()):
                    data = os.read(self.fileno, 4096)
                    if not data:  # there will be no more keys
                        break
                    if isinstance(self._app, Hurried):
                        self._app.hurry()
                    for event in parser.feed(decode(data)):
                        self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)
        list(parser.feed(""))  # its end; what was begun is nothing any more

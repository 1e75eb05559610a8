"""Reads the keyboard and writes to the terminal. Esc is answered soon: Textual looks ten times a second whether more
follows an escape byte."""

from __future__ import annotations

import os
import selectors
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, runtime_checkable

from textual import constants, events
from textual._parser import Read1
from textual._time import get_time
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.keys import Keys

from concview.tui.textual_private.encoding import carried
from concview.tui.textual_private.terminal import ANSWERS, Terminal

#: Seconds between looks whether the program ends.
IDLE_S = 0.1
#: Seconds in which the rest of an escape sequence must follow its first byte, unless ESCDELAY (in milliseconds) says
#: otherwise. A terminal sends all of it at once, and it mostly stays in one packet on its way; tmux waits 10 ms.
ESCAPE_S = constants.ESCAPE_DELAY if "ESCDELAY" in os.environ else 0.01
#: Seconds for which the last answer is waited for at the end.
LAST_ANSWER_S = 2.0


def _read1(timeout: float | None = None) -> Read1:
    return Read1(None if timeout is None else ESCAPE_S)


@runtime_checkable
class Hurried(Protocol):
    """An app that wants to know at once that something was typed, in the driver's thread."""

    def hurry(self) -> None: ...


class Parser(XTermParser):
    read1 = staticmethod(_read1)  # type: ignore[assignment]

    def __init__(self, debug: bool = False, answered: Callable[[], None] | None = None) -> None:
        """`answered`: the terminal has drawn a frame."""
        super().__init__(debug)
        self._answered = answered

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        if sequence in ANSWERS:
            if self._answered is not None:
                self._answered()
            return (events.Key(Keys.Ignore, sequence),)
        return super()._sequence_to_key_events(sequence, alt)

    def patience(self) -> float:
        """Seconds until it wants its `tick`."""
        if self._timeout_time is None:
            return IDLE_S
        return max(0.0, self._timeout_time - get_time())


class Driver(LinuxDriver):
    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self.terminal = Terminal()
        self._due = False  #: a look is due whether what is held can be drawn

    def start_application_mode(self) -> None:
        """Also behind a shell (Ctrl-Z, fg) and an editor: nothing of what was there is."""
        self.terminal.forget()
        self.terminal.flow.forget()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.write(self.terminal.flow.ask())  # before the first frame, which is large: how far away the terminal is

    def disable_input(self) -> None:
        """An answer that comes when nobody reads it any more would be typed into the shell."""
        until = time.monotonic() + LAST_ANSWER_S
        while self.terminal.flow.expected and time.monotonic() < until:
            time.sleep(0.005)
        super().disable_input()

    def answered(self) -> None:
        """In the thread that reads: the terminal has drawn a frame."""
        self.terminal.flow.answered()
        if self.terminal.held:
            self._app.call_later(self.draw_held)

    def draw_held(self) -> None:
        """What was not sent to a terminal that was behind."""
        if self.terminal.held and not self.terminal.flow.late():
            self.terminal.held = False
            self._app.screen._compositor_refresh()

    def _draw_at_last(self) -> None:
        """The answer that was late is given up, or has come and the next one is late."""
        self._due = False
        seconds = self.terminal.flow.late()
        if self.terminal.held and seconds:
            self.draw_later(seconds)
        else:
            self.draw_held()

    def draw_later(self, seconds: float) -> None:
        """Once for all that is held until then."""
        if self._due:
            return
        self._due = True
        self._app.set_timer(seconds, partial(self._app.call_later, self._draw_at_last))

    def write(self, data: str) -> None:
        encoding = (sys.__stderr__.encoding if sys.__stderr__ is not None else "") or "ascii"  # what Textual writes to
        super().write(data if encoding.lower().startswith("utf") else carried(data, encoding))

    def run_input_thread(self) -> None:
        parser, decode = Parser(self._debug, self.answered), getincrementaldecoder("utf-8")("replace").decode
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

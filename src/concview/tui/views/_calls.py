"""What a view of calls asks of the session, and when: in a thread beside the screen, a second at a time."""

from __future__ import annotations

import glob
import threading
import time
from collections.abc import Sequence
from typing import Any

from textual.message import Message

from concview import text
from concview.analysis.calltree import Entry
from concview.tui.ports import CallsTaken, CallTimes
from concview.tui.views.base import View
from concview.tui.widgets.calls import MODES

#: Seconds between two looks, and how many times longer than a look the pause behind it is: merging the stacks of
#: many threads takes a while, and must not take a CPU.
EVERY_S, RESTS = 1.0, 10.0


class CallsView(View):
    """Subclasses call `look` with every snapshot and `anew` when they want something else; `arrived` follows."""

    class Arrived(Message, namespace="calls_view"):
        """What a look found; `number` tells which question it answers."""

        def __init__(
            self, number: int, calls: CallsTaken | None, lines: Sequence[Entry], error: str, took_s: float
        ) -> None:
            super().__init__()
            self.number, self.calls, self.lines, self.error, self.took_s = number, calls, lines, error, took_s

    def __init__(self) -> None:
        super().__init__()
        self.mode = 0
        self.by_line = False
        self.folded = True
        self.tid = 0  #: only this thread; 0: all
        self.work = ""  #: only what was done on the requests, jobs, queries or calls of this name; '': all
        self.by_work = False  #: a root for each request and job
        self.calls: CallsTaken | None = None
        self.heat = False  #: the times of single lines are wanted, too
        self.lines: Sequence[Entry] = ()
        self.error = ""
        self._number = 0  #: of the question
        self._answered = -1  #: the question that `calls` answers
        self._looking = False
        self._next = 0.0  #: not before this moment
        self._back: tuple[int, int] | None = None  #: the interval that was looked back to

    @property
    def source(self) -> CallTimes | None:
        session = getattr(self.screen, "session", None)
        return session if hasattr(session, "calls") else None

    @property
    def paused(self) -> bool:
        return bool(getattr(self.screen, "paused", False))

    def arrived(self) -> None:
        raise NotImplementedError

    def forget(self) -> None:
        """What is known answers no question any more."""
        self._number += 1
        self._next, self._looking, self.calls = 0.0, False, None

    def anew(self) -> None:
        """Another question. What is on screen stays there until its answer comes."""
        self._number += 1
        self._next, self._looking = 0.0, False
        self._ask()

    def look(self) -> None:
        """The same question again, unless the view is paused or it is too early."""
        back = getattr(self.screen, "back", None)
        if back != self._back:
            self._back = back
            self.anew()
        elif not self.paused or self._answered != self._number:
            self._ask()

    def _ask(self) -> None:
        source = self.source
        if source is None or self._looking or time.monotonic() < self._next:
            return
        self._looking = True
        mode, number, heat = MODES[self.mode], self._number, self.heat
        tids, by_line, folded = ((self.tid,) if self.tid else None), self.by_line, self.folded
        more: dict[str, Any] = {} if self._back is None else {"back": self._back}
        if mode.tasks:
            more["tasks"] = True
        if self.work:
            more["labels"] = (glob.escape(self.work),)
        if self.by_work:
            more["by_work"] = True

        def run() -> None:
            began = time.monotonic()
            calls, error = None, ""
            lines: Sequence[Entry] = ()
            try:
                calls = source.calls(mode.states, tids, by_line, folded, mode.holding, **more)
                if heat:
                    lines = source.calls(mode.states, tids, True, False, mode.holding, **more).entries
            except Exception as failure:  # for the person, not for a traceback
                error = f"{type(failure).__name__}: {text.clean(str(failure))}"
            if self.is_running:
                self.post_message(self.Arrived(number, calls, lines, error, time.monotonic() - began))

        # A daemon: the program does not wait for it at its end.
        threading.Thread(target=run, name="concview-calls", daemon=True).start()

    def on_calls_view_arrived(self, event: Arrived) -> None:
        event.stop()
        if event.number != self._number:
            return
        self._looking = False
        self._next = time.monotonic() + max(EVERY_S, event.took_s * RESTS)
        if self.paused and self._answered == self._number:
            return  # asked before the pause, came behind it
        self._answered, self.calls, self.error = event.number, event.calls, event.error
        self.lines = event.lines
        self.arrived()

"""3.14 and newer: the fields that PEP 768 made for this, written from any Python version of ours.

`sys.remote_exec` asks the main thread only and cannot be withdrawn. Withdrawing matters: while a script is pending on a
main thread that is blocked in a C call, the exception of a signal handler (Ctrl-C, a SIGTERM handler that exits) is
swallowed by CPython 3.14 and 3.15. So the main thread is asked for 300 ms, and later for short moments only; other
threads, which run no signal handlers, keep the request until it is withdrawn.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from concview.agent_host.inject.layout import STOP, debugger_support, looking
from concview.agent_host.inject.request import CannotInject
from concview.agent_host.inject.threads import ThreadStates
from concview.agent_host.inject.writable import WritableMemory
from concview.cpython.memory import BadAddress
from concview.cpython.runtime import Runtime
from concview.errors import Code, Unsupported

#: The main thread is asked for so long at first, and again for so long every now and then (seconds).
MAIN_FIRST_S = 0.3
MAIN_AGAIN_S = 0.02
MAIN_EVERY_S = 0.5


class ScriptRequest:
    """See `request.Request`."""

    def __init__(self, memory: WritableMemory, runtime: Runtime, line: str, folder_inside: str, folder: Path) -> None:
        self._memory = memory
        try:
            support = debugger_support(memory.read(runtime.address, 2048))
            self._states = ThreadStates(memory, runtime.address, runtime.hexversion)
        except (BadAddress, Unsupported) as error:
            raise CannotInject(f"the interpreter's layout is not as expected ({error})", "", Code.UNREADABLE) from None
        if support is None:
            raise CannotInject(f"this Python {runtime.python} was built without remote debugging", "", Code.UNSUPPORTED)
        self._support = support
        if self._states.finalizing:
            raise CannotInject("the target's interpreter is ending")
        if not self._states.interpreter or memory.int32(self._states.interpreter + support.enabled) != 1:
            raise CannotInject(
                "remote debugging is switched off in the target (-X disable-remote-debug), so it is left alone",
                "start it without that option; the view from outside is unaffected",
            )
        script = folder / "line.py"
        script.write_text(line + "\n", "ascii")
        self.script = script
        self._path = os.fsencode(f"{folder_inside}/line.py") + b"\0"
        if len(self._path) > support.path_size:
            raise CannotInject("the path of the folder for the request is too long")
        self._asked: dict[int, float] = {}  #: thread state -> when it was asked
        self._main: list[int] = []
        self._main_until = self._main_next = 0.0

    def poke(self, again: bool) -> None:
        now = time.monotonic()
        if not self._main:
            self._main = self._states.main()
            self._main_until = now + MAIN_FIRST_S
            self._ask(self._main, now)
        elif self._main_until and now > self._main_until:
            self._main_until, self._main_next = 0.0, now + MAIN_EVERY_S
            self._clear(self._main)
        elif self._main_next and now > self._main_next:
            self._main_next, self._main_until = 0.0, now + MAIN_AGAIN_S
            self._ask(self._main, now)
        if again:
            self._ask([state for state in self._states.others() if state not in self._asked], now)

    def _ask(self, states: list[int], now: float) -> None:
        memory, support = self._memory, self._support
        for state in states:
            with contextlib.suppress(BadAddress):
                place = state + support.support
                memory.write(place + support.path, self._path)
                memory.write_int32(place + support.pending, 1)
                flags = memory.read(state + support.eval_breaker, 1)[0]
                memory.write(state + support.eval_breaker, looking(flags, STOP))
                self._asked[state] = now

    def _clear(self, states: list[int]) -> None:
        for state in states:
            if self._asked.pop(state, None) is not None:
                with contextlib.suppress(BadAddress):
                    place = state + self._support.support
                    if self._memory.read(place + self._support.path, len(self._path)) == self._path:
                        self._memory.write_int32(place + self._support.pending, 0)

    def taken(self) -> bool:
        """A thread that takes it clears the mark before it opens the script."""
        for state in self._asked:
            with contextlib.suppress(BadAddress):
                if self._memory.int32(state + self._support.support + self._support.pending) == 0:
                    return True
        return False

    def withdraw(self) -> None:
        alive = {state for state, _ in self._states.walk()}
        self._clear([state for state in self._asked if state in alive])
        self._asked.clear()

    def close(self) -> None:
        self._memory.close()

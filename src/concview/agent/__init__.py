"""The part of concview that runs inside a program. A program may invite it:

    import concview.agent
    concview.agent.listen()

From then on `concview attach PID` can look inside without injecting anything. Nothing happens until it does: a thread
waits at a Unix socket in a folder that only this user can enter. Works on Python 3.8 and newer with nothing but the
standard library; exact call counts also need yappi.

Everything in this package runs inside targets: it imports nothing of the rest of concview, and must not fail where the
rest would not even import.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any


__all__ = ["listen"]


class Listener:
    """What `listen` returns. `close()` ends it and removes its files."""

    def __init__(self) -> None:
        from . import fork
        from .listener import ListeningSocket
        from .originals import start_thread

        self._socket = ListeningSocket()
        self._agent: Any = None
        self._undo = fork.in_child(self._in_child)
        start_thread(self._wait)

    def close(self) -> None:
        self._undo()
        self._socket.close()
        agent = self._agent
        if agent is not None:
            agent._hang_up()

    def _in_child(self) -> None:
        """A forked child did not call `listen`."""
        global _listener
        try:
            _listener = None
            self._socket.close()
        except BaseException:
            pass

    def _wait(self) -> None:
        from .core import Agent

        while True:
            try:
                connected = self._socket.accept()
            except BaseException:  # closed, or the interpreter is ending
                return
            self._agent = Agent(self._socket.mine, self._socket.theirs, [])
            self._agent.visit(connected)
            self._agent = None


_listener: Listener | None = None


def listen() -> Listener:
    """Let concview look inside this process. Calling it again returns the same listener.

    OSError when the socket cannot be made. A forked child that wants to be looked at calls it, too.
    """
    global _listener
    import atexit
    import threading  # noqa: F401 - imported by the program's own thread, not by the agent's

    if _listener is None:
        _listener = Listener()
        atexit.register(_listener.close)
    return _listener

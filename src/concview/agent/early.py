"""The agent of a program that concview starts: it is there before the program's first line.

The program waits, in its own main thread, until the dashboard has come and begun to count calls, if it wants to. One
visit only: then the socket is closed, and nothing of it is left when the agent goes.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

import time

from . import fork
from .core import Agent
from .listener import ListeningSocket
from .originals import start_thread
from .start import forget

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any


def hold(package: str, settings: dict[str, Any]) -> None:
    """Return when the dashboard is there, or has not come for `settings["hold"]` seconds. Raises OSError without a
    place for the listener."""
    import threading  # noqa: F401 - imported by the program's own thread, not by the agent's

    listener = ListeningSocket()
    agent = Agent(listener.mine, listener.theirs, settings["yappi"])
    undo = fork.in_child(listener.close)
    over: list[bool] = []
    start_thread(_visit, listener, agent, package, over)
    end = time.monotonic() + settings["hold"]
    while not over and time.monotonic() < end:
        if agent.greeted and (agent.asked or not settings["calls"]):
            break
        time.sleep(0.002)
    undo()
    listener.close()  # wakes who waits there; a visit that has begun goes on


def _visit(listener: ListeningSocket, agent: Agent, package: str, over: list[bool]) -> None:
    try:
        connected = listener.accept()
    except BaseException:  # closed: nobody came
        agent.alive = False
        forget(package)
        return
    agent.visit(connected, lambda: forget(package))
    over.append(True)

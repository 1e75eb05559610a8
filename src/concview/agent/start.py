"""Entering a program that did not ask: the injected code calls `begin`, in a thread of the program's.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

import os
import sys

from . import wire
from .core import PROTOCOL, Agent
from .originals import start_thread

#: As `enter.LEFT`, which stands alone.
LEFT = "_concview_left"

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any


def begin(package: str, settings: dict[str, Any]) -> None:
    """Start the agent's thread. `package`: the name under which the agent's modules are in sys.modules."""
    agent = Agent(settings["mine"], settings["theirs"], settings["yappi"])
    start_thread(_run, agent, package, settings["socket"])


def _run(agent: Agent, package: str, path: str) -> None:
    try:
        connected = wire.connect(path)
    except BaseException:
        agent.alive = False
        forget(package)
        return
    agent.visit(connected, lambda: forget(package))


def occupied(settings: dict[str, Any]) -> None:
    """Tell a second dashboard that there is an agent already. In a thread of its own."""
    try:
        link = wire.Link(wire.connect(settings["socket"]))
        link.send({"t": "occupied", "protocol": PROTOCOL, "pid": os.getpid(), "token": settings["mine"]})
        link.close()
    except BaseException:
        pass


def forget(package: str) -> None:
    """Take the agent's modules out of sys.modules; the code goes when this thread ends. What stays is the token, one
    short string, by which a late thread knows that its request has been answered."""
    left = getattr(sys.modules.get(package), "token", "")
    if left:
        setattr(sys, LEFT, left)
    for name in [n for n in list(sys.modules) if n == package or n.startswith(package + ".")]:
        sys.modules.pop(name, None)

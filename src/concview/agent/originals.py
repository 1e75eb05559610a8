"""What the agent uses of the operating system, as CPython made it: gevent and eventlet replace these by cooperative
versions, with which the agent would become a greenlet of the program's and wait for its loop.

Runs inside targets: Python 3.8 and newer, standard library only.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` is not imported for its names alone: that costs a target milliseconds
if TYPE_CHECKING:
    from typing import Any


def original(module: str, name: str) -> Any:
    """The attribute of a standard module from before any monkey patching."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None:
        # Returns the attribute as it is now where it was never patched.
        return gevent.get_original(module, name)
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread" if module == "_thread" else module):
        return getattr(eventlet.original("_thread" if module == "_thread" else module), name)
    return getattr(__import__(module), name)


def start_thread(function: Any, *arguments: Any) -> int:
    """A raw thread: unknown to `threading`, so that the interpreter's shutdown does not wait for it."""
    return int(original("_thread", "start_new_thread")(function, arguments))


def cooperative() -> str:
    """'gevent', 'eventlet' or '': a library that switches stacks by itself, whose switches a profiler cannot follow."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and getattr(gevent, "saved", None):
        return "gevent"
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return "eventlet"
    return ""

"""What several rules tell apart: peers, states of a thread that has something to do, workers of an executor."""

from __future__ import annotations

from functools import lru_cache

from concview.analysis.classify import bare
from concview.analysis.window import ThreadWindow
from concview.model import Frame, Stack, State
from concview.source.calls import THREAD_POOL
from concview.source.origin import is_module

#: Kinds of peers (`Peer.kind`) that are connected to one other side ...
CONNECTED = frozenset({"tcp", "tcp6", "unix"})
#: ... and all at the other end of a socket.
SOCKETS = CONNECTED | {"udp", "udp6"}
#: A thread in one of these has something to do, whether it gets on with it or not.
ACTIVE = (State.RUNNING, State.RUNNABLE, State.IO, State.LOCK, State.SLEEP, State.GIL)


def is_of(frame: Frame, *modules: str) -> bool:
    """Whether the frame's file is one of these of the standard library, or of a library: never one of the program's own
    that is called so."""
    last = frame.file.rpartition("/")[2]
    return any(last == m.rpartition("/")[2] and is_module(frame.file, m, frame.origin) for m in modules)


def is_worker(frame: Frame) -> bool:
    """The function that every worker of a ThreadPoolExecutor runs in."""
    return bare(frame.function) == "_worker" and is_module(frame.file, THREAD_POOL, frame.origin)


@lru_cache(maxsize=4096)
def in_worker(stack: Stack) -> bool:
    """Whether a worker of a ThreadPoolExecutor, which has a maximum, begins so."""
    return any(is_worker(f) for f in stack.frames[-6:])


def pooled(thread: ThreadWindow) -> bool:
    """The same of what a thread does now."""
    run = thread.history.current
    return run is not None and in_worker(run.stack)

"""What several rules tell apart: peers, states of a thread that has something to do, workers of an executor."""

from __future__ import annotations

from concview.analysis.classify import bare
from concview.analysis.window import ThreadWindow
from concview.model import State

#: Kinds of peers (`Peer.kind`) that are connected to one other side ...
CONNECTED = frozenset({"tcp", "tcp6", "unix"})
#: ... and all at the other end of a socket.
SOCKETS = CONNECTED | {"udp", "udp6"}
#: A thread in one of these has something to do, whether it gets on with it or not.
ACTIVE = (State.RUNNING, State.RUNNABLE, State.IO, State.LOCK, State.SLEEP, State.GIL)

#: Where a worker of a ThreadPoolExecutor begins: the end of the file's path, the function.
_POOL_WORKER = ("concurrent/futures/thread.py", "_worker")


def pooled(thread: ThreadWindow) -> bool:
    """True for a worker of a ThreadPoolExecutor, which has a maximum."""
    run = thread.history.current
    end, function = _POOL_WORKER
    return run is not None and any(
        bare(f.function) == function and f.file.endswith(end) for f in run.stack.frames[-6:]
    )

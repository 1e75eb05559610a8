"""The blocking methods, mostly of the standard library, whose frames tell what a thread waits for."""

from __future__ import annotations

from concview.model import CONNECTION_POOL
from concview.source.facts import origin

#: What the standard library's blocking methods wait for: role of a function -> (via, kind of the object in `self`).
#: Innermost first on a stack; the outermost of an unbroken run wins (a Queue.get sits on a Condition.wait).
_THREADING, _QUEUE, _FUTURES, _SYNCHRONIZE = "threading.py", "queue.py", "_base.py", "synchronize.py"
_POOL = "pool.py"
ROLES: dict[tuple[str, str], tuple[str, str]] = {
    (_THREADING, "Condition.wait"): ("Condition.wait", "Condition"),
    (_THREADING, "Condition.wait_for"): ("Condition.wait", "Condition"),
    (_THREADING, "Event.wait"): ("Event.wait", "Event"),
    (_THREADING, "Semaphore.acquire"): ("Semaphore.acquire", "Semaphore"),
    (_THREADING, "Barrier._wait"): ("Barrier.wait", "Barrier"),
    (_THREADING, "Barrier._enter"): ("Barrier.wait", "Barrier"),
    (_THREADING, "Barrier.wait"): ("Barrier.wait", "Barrier"),
    (_THREADING, "Thread._wait_for_tstate_lock"): ("Thread.join", "Thread"),
    (_THREADING, "Thread.join"): ("Thread.join", "Thread"),
    (_QUEUE, "Queue.get"): ("Queue.get", "Queue"),
    (_QUEUE, "Queue.put"): ("Queue.put", "Queue"),
    (_QUEUE, "Queue.join"): ("Queue.join", "Queue"),
    (_FUTURES, "Future.result"): ("Future.result", "Future"),
    (_FUTURES, "Future.exception"): ("Future.result", "Future"),
    # psycopg_pool 3: who waits has a condition of its own, and is given a connection of the pool.
    (_POOL, "WaitingClient.wait"): ("Condition.wait", "Condition"),
    (_POOL, "ConnectionPool._getconn_unchecked"): ("Queue.get", CONNECTION_POOL),
    (_POOL, "ConnectionPool.getconn"): ("Queue.get", CONNECTION_POOL),
    (_SYNCHRONIZE, "SemLock.__enter__"): ("multiprocessing", "multiprocessing"),
}


#: Where a file of that name lies: the standard library's own, or a package's. A program may have a queue.py, too.
_PACKAGED = {_POOL: "/psycopg_pool/", _FUTURES: "/concurrent/futures/"}


def role_of(file: str, qualname: str) -> str:
    """'Condition.wait' and the like for the blocking methods that are known; '' for all others."""
    folder, slash, name = file.rpartition("/")
    if (name, qualname) not in ROLES:
        return ""
    if name in _PACKAGED:
        return qualname if (folder + slash).endswith(_PACKAGED[name]) else ""
    # A program that was frozen into one file has names without folders.
    return qualname if not slash or origin(file) != "user" else ""

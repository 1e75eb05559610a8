"""The blocking methods of the standard library whose frames tell what a thread waits for."""

from __future__ import annotations

#: What the standard library's blocking methods wait for: role of a function -> (via, kind of the object in `self`).
#: Innermost first on a stack; the outermost of an unbroken run wins (a Queue.get sits on a Condition.wait).
_THREADING, _QUEUE, _FUTURES, _SYNCHRONIZE = "threading.py", "queue.py", "_base.py", "synchronize.py"
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
    (_SYNCHRONIZE, "SemLock.__enter__"): ("multiprocessing", "multiprocessing"),
}


def role_of(file: str, qualname: str) -> str:
    """'Condition.wait' and the like for the standard library's blocking methods; '' for all others."""
    return qualname if (file.rpartition("/")[2], qualname) in ROLES else ""

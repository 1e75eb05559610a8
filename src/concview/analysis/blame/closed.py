"""A program in which nothing can go on: each thread waits, without a time limit, for what only another one gives.

Nothing of this is concluded from names or source. Where every thread of a process waits at an object that lies inside
of it, and none runs, sleeps, has a time limit, or is in a system call that something outside could end, no thread is
left that could wake another one. What could still do so is code that runs in no thread that is seen: a signal handler
(it runs in the main thread, and mostly sets an Event), a callback of a C library from a thread of its own, a greenlet,
another process at a lock that both share. Where one of these is possible, nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from concview.analysis.blame.words import where
from concview.analysis.history import History
from concview.analysis.known_places import in_loop, is_file
from concview.analysis.records import Run, ThreadHistory
from concview.model import WaitKind
from concview.source.calls import THREADING
from concview.text import group

#: Ways to wait at an object of Python's that lies inside the process.
_INSIDE = frozenset(
    {
        "Queue.get", "Queue.put", "Queue.join", "SimpleQueue.get", "Condition.wait", "Event.wait", "Thread.join",
        "Semaphore.acquire", "Barrier.wait", "Future.result", "futures.wait", "atexit", "pool", "work",
    }
)  # fmt: skip
_LOCKS = frozenset({"Lock", "RLock", "Condition", "Event", "Semaphore", "Queue", "SimpleQueue", "Future", "Thread"})
#: At these the main thread may be woken by a signal's handler, as is usual.
_BY_SIGNAL = frozenset({"Event.wait", "Semaphore.acquire"})
#: Places that are told one by one.
_TOLD = 4


class Closed(NamedTuple):
    """Since when, and in words."""

    still_s: float
    said: str


def closed(history: History) -> Closed | None:
    """None: something may go on, or it is not known."""
    main = history.hello.target.pid if history.hello is not None else 0
    threads = list(history.threads.values())
    if len(threads) < 2 or history.aio.tasks or history.aio.loops:
        return None
    if history.counters is not None and history.counters.os_threads > len(threads):
        return None  # nobody has had room to look at all of them yet
    last = 0
    for thread in threads:
        run = thread.current
        if run is None or not thread.counts or not _inside(run):
            return None
        ended = thread.tid == main and _ended(run)
        if thread.tid == main and not ended and run.classification.via in _BY_SIGNAL:
            return None
        last = max(last, run.since_ns)
    if main not in history.threads or history.now_ns <= last:
        return None
    runs = {t: t.current for t in threads if t.current is not None}  # each has one
    over = "The main program has ended, and nothing" if _ended(runs[history.threads[main]]) else "Nothing"
    said = (
        f"{over} can go on: each of the {len(threads)} threads waits, without a time limit, for what only another one "
        f"of them could give: {_told(runs)}."
    )
    return Closed((history.now_ns - last) / 1e9, said)


def _inside(run: Run) -> bool:
    wait, via = run.wait, run.classification.via
    if wait.kind is not WaitKind.FUTEX or wait.timed or not run.stack.frames or run.stack.truncated:
        return False
    if via in ("native", "import", "database", "child", "select", "accept", "poll"):
        return False
    if wait.lock_kind.startswith("multiprocessing.") or any(_shared(f.file) for f in run.stack.frames[:4]):
        return False
    return via in _INSIDE or wait.via in _INSIDE or wait.lock_kind in _LOCKS


def _shared(file: str) -> bool:
    """Of a library that wakes its threads from C code or from greenlets, or of other processes."""
    return "/multiprocessing/" in file or "/gevent/" in file or "/eventlet/" in file


def _ended(run: Run) -> bool:
    """The main thread, at the end of the program: it waits for the other threads to end."""
    return any(is_file(f, THREADING) and f.function.rpartition(".")[2] == "_shutdown" for f in run.stack.frames)


def _told(runs: Mapping[ThreadHistory, Run]) -> str:
    """'MainThread for an item (app.py:7), 3 render for an item (app.py:4)'."""
    alike: dict[tuple[str, str, int, str], int] = {}
    for thread, run in runs.items():
        frame = next((f for f in run.stack.frames if f.origin == "user"), run.stack.leaf)
        file, line = (frame.file, frame.line) if frame is not None else ("", 0)
        key = (group(thread.name), file, line, _for(run))
        alike[key] = alike.get(key, 0) + 1
    rows = sorted(alike.items(), key=lambda each: -each[1])
    told = [f"{f'{n} ' if n > 1 else ''}{who} {what}{where(file, line)}" for (who, file, line, what), n in rows]
    more = len(told) - _TOLD
    return ", ".join(told[:_TOLD]) + (f" and at {more} more places" if more > 0 else "")


def _for(run: Run) -> str:
    via = run.classification.via or run.wait.via
    if in_loop(run.stack):
        return "for work"
    return {
        "Queue.get": "for an item of an empty queue",
        "SimpleQueue.get": "for an item of an empty queue",
        "Queue.put": "for room in a full queue",
        "Queue.join": "for a queue to be worked off",
        "Condition.wait": "to be notified",
        "Event.wait": "for an event",
        "Thread.join": "for a thread to end",
        "atexit": "for a thread to end",
        "Semaphore.acquire": "for a permit",
        "Barrier.wait": "at a barrier",
        "Future.result": "for a result",
        "futures.wait": "for results",
        "pool": "for something out of a pool",
    }.get(via, f"for a {run.wait.lock_kind or 'lock'}")

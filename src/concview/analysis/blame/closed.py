"""A program in which nothing can go on: each thread and task waits, without a time limit, for what only another gives.

Nothing of this is concluded from names or source. Where every thread of a process waits at an object that lies inside
of it, and none runs, sleeps, has a time limit, or is in a system call that something outside could end, no thread is
left that could wake another one. What could still do so is code that runs in no thread that is seen: a signal handler
(it runs in the main thread, and mostly sets an Event), a callback of a C library from a thread of its own, a greenlet,
another process at a lock that both share. Where one of these is possible, nothing is said.

A thread that runs an event loop is one of them where its loop has nothing due, no timer, and watches no descriptor but
the one by which other threads wake it, and no signal has a handler: then only its tasks could do something, and each
of those waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from concview.analysis.blame.tasks.names import name_of
from concview.analysis.blame.words import where
from concview.analysis.history import History
from concview.analysis.known_places import TOLD_TO_END, in_loop, is_file
from concview.analysis.records import Run, ThreadHistory
from concview.analysis.tasks import words
from concview.analysis.tasks.history import TaskHistories
from concview.analysis.tasks.records import TaskHistory, TaskRun
from concview.model import BETWEEN_PROCESSES, GENERATOR, IN_PROCESSES, UNOWNED_VIA, LoopState, TaskState, WaitKind
from concview.source.calls import THREADING
from concview.text import group, plural

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
    loops = {state.tid: state for state in history.aio.loops if state.tid}
    if (len(threads) < 2 and not loops) or any(_may_wake(state) for state in loops.values()):
        return None
    if history.counters is not None and history.counters.os_threads > len(threads):
        return None  # nobody has had room to look at all of them yet
    last = 0
    runs: dict[ThreadHistory, Run] = {}  #: of those that run no loop
    for thread in threads:
        run = thread.current
        if run is None or not thread.counts:
            return None
        last = max(last, run.since_ns)
        if thread.tid in loops:
            if not _asleep(run, loops[thread.tid]):
                return None
            continue
        runs[thread] = run
        ended = thread.tid == main and _ended(run)
        if not _inside(run) or (thread.tid == main and not ended and run.classification.via in _BY_SIGNAL):
            return None
    tasks = _tasks(history.aio, loops)
    if main not in history.threads or tasks is None or (loops and not tasks):
        return None
    last = max([last, *(run.start_ns for run in tasks.values())])
    if history.now_ns <= last:
        return None
    alike = _of_threads(runs) + _of_tasks(history.aio, tasks)
    return Closed((history.now_ns - last) / 1e9, f"{_sentence(runs, tasks, len(loops))}: {_told(alike)}.")


def _sentence(threads: Mapping[ThreadHistory, Run], tasks: Mapping[TaskHistory, TaskRun], loops: int) -> str:
    """'Nothing can go on: the event loop has no timer ..., and each of the 4 tasks waits, without a time limit, for
    what only another one of them could give'."""
    over = "The main program has ended, and nothing" if any(map(_ended, threads.values())) else "Nothing"
    idle = who = ""
    if loops:
        those = "the event loop has" if loops == 1 else f"the {loops} event loops have"
        idle = f"{those} no timer and nothing outside to wait for, and "
    if tasks:
        who = plural(len(tasks), "task") + (" and " if threads else "")
    if threads:
        who += plural(len(threads), "thread")
    each, what = f"each of the {who}", "what only another one of them could give"
    if len(tasks) + len(threads) == 1:
        each, what = "its only task", "what nobody is left to give"
    return f"{over} can go on: {idle}{each} waits, without a time limit, for {what}"


# ---------------------------------------------------------------- event loops and their tasks


def _may_wake(loop: LoopState) -> bool:
    """Whether something but a task or a thread could make a loop do anything, or it is not known."""
    return loop.ready != 0 or loop.timers != 0 or loop.outside != 0


def _asleep(run: Run, loop: LoopState) -> bool:
    """uvloop's wait has no frame of Python's: its system call tells it, and nothing else there waits at an epoll."""
    if run.wait.kind is not WaitKind.IO or run.wait.timed:
        return False
    return in_loop(run.stack) or (loop.kind == "uvloop" and run.wait.syscall.startswith("epoll"))


def _tasks(aio: TaskHistories, loops: Mapping[int, LoopState]) -> dict[TaskHistory, TaskRun] | None:
    """What each of them waits for; None where one may go on, or could not be looked at."""
    report = aio.report
    if report is not None and (report.why or report.unseen):
        return None
    known = {state.id for state in loops.values()}
    found: dict[TaskHistory, TaskRun] = {}
    for task in aio.tasks.values():
        run = task.current
        if task.kind == GENERATOR:
            continue
        if run is None or task.loop not in known or not _inside_loop(run):
            return None
        if run.wait.via in UNOWNED_VIA and TOLD_TO_END.search(_name(aio, run)):
            return None  # a signal's handler may set it
        found[task] = run
    return found


def _inside_loop(run: TaskRun) -> bool:
    state = run.wait.state
    if state is TaskState.EXECUTOR:
        return run.wait.kind != IN_PROCESSES
    return state in (TaskState.LOCK, TaskState.QUEUE, TaskState.POOL, TaskState.TASK)


def _name(aio: TaskHistories, run: TaskRun) -> str:
    told = aio.object(run.wait.object) if run.wait.object else None
    return words.object_name(told, run.wait.kind, run.wait.object).rpartition(".")[2]


def _of_tasks(aio: TaskHistories, tasks: Mapping[TaskHistory, TaskRun]) -> Counter[str]:
    """'caller for a notify of self.cond (app.py:5)' -> how many."""
    return Counter(f"{name_of(t)} {words.reason(aio, t, r).removeprefix('waits ')}" for t, r in tasks.items())


# ---------------------------------------------------------------- threads


def _inside(run: Run) -> bool:
    wait, via = run.wait, run.classification.via
    if wait.kind is not WaitKind.FUTEX or wait.timed or not run.stack.frames or run.stack.truncated:
        return False
    if via in ("native", "import", "database", "child", "select", "accept", "poll"):
        return False
    if wait.lock_kind.startswith(BETWEEN_PROCESSES) or any(_shared(f.file) for f in run.stack.frames[:4]):
        return False
    return via in _INSIDE or wait.via in _INSIDE or wait.lock_kind in _LOCKS


def _shared(file: str) -> bool:
    """Of a library that wakes its threads from C code or from greenlets, or of other processes."""
    return "/multiprocessing/" in file or "/gevent/" in file or "/eventlet/" in file


def _ended(run: Run) -> bool:
    """The main thread, at the end of the program: it waits for the other threads to end."""
    return any(is_file(f, THREADING) and f.function.rpartition(".")[2] == "_shutdown" for f in run.stack.frames)


def _of_threads(runs: Mapping[ThreadHistory, Run]) -> Counter[str]:
    """'render for an item of an empty queue (app.py:4)' -> how many."""
    alike: Counter[str] = Counter()
    for thread, run in runs.items():
        frame = next((f for f in run.stack.frames if f.origin == "user"), run.stack.leaf)
        file, line = (frame.file, frame.line) if frame is not None else ("", 0)
        alike[f"{group(thread.name)} {_for(run)}{where(file, line)}"] += 1
    return alike


def _told(alike: Counter[str]) -> str:
    """'3 render for an item of an empty queue (app.py:4), MainThread for a thread to end (app.py:7)'."""
    rows = alike.most_common()
    more = len(rows) - _TOLD
    told = ", ".join(f"{f'{n} ' if n > 1 else ''}{said}" for said, n in rows[:_TOLD])
    return told + (f" and at {more} more places" if more > 0 else "")


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

"""From what the kernel and the stack say to one of the states, and to a reason in words.

The kernel says how a thread is blocked, the innermost frames say what for. Idle leaves are waits in which a worker is
simply out of work; they are not contention, whatever primitive they are built on.
"""

from __future__ import annotations

from dataclasses import dataclass

from concview.model import Site, Stack, State, Wait, WaitKind

#: (end of the file path, bare function names): a thread that blocks below one of these waits for work.
#: Source: the standard library 3.8-3.15 and the main loops of the common servers and executors.
IDLE_LEAVES: tuple[tuple[str, frozenset[str]], ...] = (
    ("concurrent/futures/thread.py", frozenset({"_worker"})),
    ("concurrent/futures/process.py", frozenset({"wait_result_broken_or_wakeup", "_process_worker"})),
    (
        "multiprocessing/pool.py",
        frozenset({"worker", "_handle_workers", "_handle_tasks", "_handle_results", "_wait_for_updates"}),
    ),
    ("multiprocessing/queues.py", frozenset({"_feed", "get"})),
    ("multiprocessing/connection.py", frozenset({"wait"})),
    ("queue.py", frozenset({"get"})),
    ("selectors.py", frozenset({"select"})),
    ("socketserver.py", frozenset({"serve_forever"})),
    ("socket.py", frozenset({"accept"})),
    ("asyncio/base_events.py", frozenset({"_run_once"})),
    ("uvloop/loop", frozenset({"run_forever"})),
    ("waitress/task.py", frozenset({"handler_thread"})),
    ("gunicorn/arbiter.py", frozenset({"sleep"})),
    ("logging/handlers.py", frozenset({"dequeue"})),
    ("sched.py", frozenset({"run"})),
)
#: Functions of the standard library that wait for another thread: (end of file, bare name) -> what it is.
WAITS_FOR_THREAD: dict[tuple[str, str], str] = {
    ("threading.py", "join"): "Thread.join",
    ("threading.py", "_wait_for_tstate_lock"): "Thread.join",
    ("threading.py", "_shutdown"): "Thread.join",
    ("threading.py", "_wait"): "Barrier.wait",
    ("threading.py", "_enter"): "Barrier.wait",
    ("threading.py", "acquire"): "Semaphore.acquire",  # Lock's and RLock's own are in C and have no frame
    ("threading.py", "__enter__"): "Semaphore.acquire",
    ("queue.py", "put"): "Queue.put",
    ("queue.py", "get"): "Queue.get",
    ("queue.py", "join"): "Queue.join",
    ("concurrent/futures/_base.py", "result"): "Future.result",
    ("concurrent/futures/_base.py", "exception"): "Future.result",
    ("concurrent/futures/_base.py", "wait"): "futures.wait",
    ("concurrent/futures/_base.py", "as_completed"): "futures.wait",
}
#: Waits in which the thread is blocked by others that have or do something it needs now.
BLOCKING_VIA = frozenset({"Queue.put", "Semaphore.acquire", "Barrier.wait"})
#: Waits that are a normal way to have nothing to do.
IDLE_VIA = frozenset(
    {
        "Queue.get",
        "Condition.wait",
        "Event.wait",
        "Thread.join",
        "Queue.join",
        "Future.result",
        "futures.wait",
        "SimpleQueue.get",
        "atexit",
    }
)
_SIGNAL_WAITS = frozenset({"pause", "rt_sigsuspend", "rt_sigtimedwait", "signalfd"})
_ACCEPTING = frozenset({"accept", "accept4"})
_MULTIPLEXERS = frozenset({"select", "pselect6", "poll", "ppoll", "epoll_wait", "epoll_pwait", "epoll_pwait2"})
#: How many frames from the leaf may still belong to a primitive of the standard library.
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Classification:
    """State of a thread, what it waits for in words, and the source site of the lock it waits for, if any."""

    state: State
    reason: str
    via: str = ""
    site: Site | None = None


def bare(function: str) -> str:
    """'Queue.get' -> 'get'; '<lambda>' stays."""
    return function.rpartition(".")[2]


def via_of(stack: Stack) -> str:
    """What the innermost standard-library frames wait for: 'Queue.get', 'Event.wait', ... or ''.

    The outermost name wins (a `Queue.get` sits on a `Condition.wait`), as far as the frames are one unbroken run of
    the standard library's own from the leaf. Condition.__enter__ is Python code around a plain lock: not a semaphore.
    """
    found = ""
    for frame in stack.frames[:_DEPTH]:
        if frame.origin not in ("stdlib", "frozen"):
            break
        name = bare(frame.function)
        if frame.file.endswith("threading.py") and name == "wait":
            # py-spy gives bare names on old versions: a wait on top of a Condition's wait is an Event's.
            is_event = frame.function.startswith("Event") or (found == "Condition.wait" and name == frame.function)
            found = "Barrier.wait" if found == "Barrier.wait" else "Event.wait" if is_event else "Condition.wait"
            continue
        if frame.function.startswith("Condition."):
            continue
        for (end, function), via in WAITS_FOR_THREAD.items():
            if name == function and frame.file.endswith(end):
                found = via
                break
    return found


def waits_for_work(stack: Stack) -> bool:
    """True when the innermost frames are a known main loop of a worker with nothing to do."""
    for frame in stack.frames[:_DEPTH]:
        name = bare(frame.function)
        for end, functions in IDLE_LEAVES:
            if name in functions and end in frame.file:
                return True
        if frame.origin == "user":
            return False
    return False


def classify(wait: Wait, stack: Stack) -> Classification:
    """The state of a thread that waits so, with that stack. Pure; callers cache it per pair of interned objects."""
    kind = wait.kind
    if kind is WaitKind.RUNNING:
        return Classification(State.RUNNING, "running")
    if kind is WaitKind.GIL:
        return Classification(State.GIL, "waits for the GIL")
    if kind is WaitKind.SLEEP:
        return Classification(State.SLEEP, "sleeps")
    if kind is WaitKind.FUTEX:
        return _futex(wait, stack)
    if kind is WaitKind.IO:
        return _io(wait, stack)
    if kind is WaitKind.DISK:
        return Classification(State.IO, f"disk: {wait.syscall or 'uninterruptible'}")
    if kind is WaitKind.CHILD:
        return Classification(State.IO, "waits for a child process", via="child")
    if kind is WaitKind.STOPPED:
        return Classification(State.UNKNOWN, "stopped")
    if kind is WaitKind.OTHER:
        if wait.syscall in _SIGNAL_WAITS:
            return Classification(State.IDLE, "waits for a signal", via="signal")
        return Classification(State.UNKNOWN, f"in system call {wait.syscall or '?'}")
    return Classification(State.UNKNOWN, "cannot be read")


def _futex(wait: Wait, stack: Stack) -> Classification:
    leaf = stack.leaf
    if leaf is None:
        return Classification(State.IDLE, "native thread, waits on a futex", via="native")
    if waits_for_work(stack):
        return Classification(State.IDLE, "waits for work", via=wait.via or via_of(stack) or "work")
    via = wait.via or via_of(stack)
    user = stack.user_leaf
    site = user.acquires if user is not None else None
    if via in IDLE_VIA:
        return Classification(State.IDLE, _via_words(via, wait), via=via)
    if via in BLOCKING_VIA:
        return Classification(State.LOCK, _via_words(via, wait), via=via, site=site)
    if leaf.acquires is not None:
        site = leaf.acquires
    if wait.lock or site is not None:
        what = site.expression if site is not None and site.expression else (wait.lock_kind or "a lock")
        return Classification(State.LOCK, f"waits for {what}", via=via, site=site)
    if ".get(" in leaf.text:
        return Classification(State.IDLE, "waits for an item", via="Queue.get")
    if ".join(" in leaf.text or ".wait(" in leaf.text:
        return Classification(State.IDLE, "waits for another thread", via="Thread.join")
    if "acquire" in leaf.text or leaf.text.startswith(("with ", "async with ")) or wait.lock_kind:
        return Classification(State.LOCK, "waits for a lock", via=via)
    return Classification(State.LOCK, "waits on a futex (which lock could not be read)", via="native")


def _via_words(via: str, wait: Wait) -> str:
    words = {
        "Queue.get": "waits for an item (Queue.get)",
        "SimpleQueue.get": "waits for an item (SimpleQueue.get)",
        "Queue.put": "queue is full (Queue.put)",
        "Condition.wait": "waits to be notified (Condition.wait)",
        "Event.wait": "waits for an event (Event.wait)",
        "Thread.join": "joins a thread",
        "Queue.join": "waits until a queue is worked off",
        "Semaphore.acquire": "waits for a semaphore",
        "Barrier.wait": "waits at a barrier",
        "Future.result": "waits for a future's result",
        "futures.wait": "waits for futures",
    }.get(via, f"waits ({via})")
    return words + (", with timeout" if wait.timed else "")


def _io(wait: Wait, stack: Stack) -> Classification:
    if wait.syscall in _ACCEPTING:
        return Classification(State.IDLE, _io_words(wait, "waits for connections"), via="accept")
    if wait.syscall in _MULTIPLEXERS and waits_for_work(stack):
        return Classification(State.IDLE, "event loop has nothing to do", via="select")
    return Classification(State.IO, _io_words(wait, wait.syscall or "I/O"))


def _io_words(wait: Wait, verb: str) -> str:
    if wait.peer is None:
        return f"{verb} (fd {wait.fd})" if wait.fd >= 0 else verb
    kind, name = wait.peer.kind, wait.peer.name
    return f"{verb} {name}" if name.startswith(f"{kind}:") else f"{verb} {kind} {name}"  # 'socket:[5167770]' says it

"""From what the kernel and the stack say to one of the states, and to a reason in words.

The kernel says how a thread is blocked, the innermost frames say what for. `idle` is claimed on evidence: a worker that
blocks in its own main loop, a server that accepts or waits for the next request, an event loop in its selector. A
thread that waits to be lent something out of a pool is not idle, whatever the pool is built of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from concview.analysis.known_places import (
    asks_manager,
    in_background,
    in_child,
    in_loop,
    is_call,
    is_file,
    joins_child,
    lent,
    listens,
    watches_children,
)
from concview.analysis.known_places import bare as bare
from concview.model import SIGNAL_VIA, Frame, Site, Stack, State, Wait, WaitKind
from concview.source.calls import PROCESSES_JOIN, THREADING, calls_of

#: Of builds without a GIL: the lock in the head of an object (a critical section), a stop of all threads, and whoever
#: asked for it and waits until all have stopped.
OBJECT_VIA, STOP_VIA, STOPPING_VIA = "object", "stop-the-world", "stopping-the-world"
#: Waits in which the thread is blocked by others that have or do something it needs now.
BLOCKING_VIA = frozenset(
    {"Queue.put", "Semaphore.acquire", "Barrier.wait", "pool", "import", "database", OBJECT_VIA, STOP_VIA, STOPPING_VIA}
)
#: Waits that are a normal way to have nothing to do.
IDLE_VIA = frozenset(
    {
        "Queue.get",
        "Condition.wait",
        "Event.wait",
        "Thread.join",
        "Queue.join",
        PROCESSES_JOIN,
        "Future.result",
        "futures.wait",
        "SimpleQueue.get",
        "atexit",
    }
)
_SIGNAL_WAITS = frozenset({"pause", "rt_sigsuspend", "rt_sigtimedwait", "signalfd"})
_ACCEPTING = frozenset({"accept", "accept4"})
_MULTIPLEXERS = frozenset({"select", "pselect6", "poll", "ppoll", "epoll_wait", "epoll_pwait", "epoll_pwait2"})
_READS = frozenset({"read", "readv", "recvfrom", "recvmsg"})
#: Kinds of descriptors whose other end is a thread or process of the same program, where they have no name.
_INSIDE = frozenset({"pipe", "unix", "eventfd", "inotify"})
#: Descriptors at which a thread is told what happens, and does nothing before it does (inotify(7), fanotify(7),
#: signalfd(2)).
_NEWS = {
    "inotify": "waits for files to change (inotify)",
    "fanotify": "waits for files to be used (fanotify)",
    "signalfd": "waits for a signal (signalfd)",
}
_PIPES = ("multiprocessing/connection.py", "billiard/connection.py")
#: What a pool makes its callers wait with: besides these, a lock is a lock.
_LENDING_VIA = SIGNAL_VIA | {"Queue.get", "SimpleQueue.get"}
_PLAIN_LOCKS = frozenset({"Lock", "RLock"})
_RUN_TASKS = ("multiprocessing/pool.py", "multiprocessing/managers.py")
#: What a server that has nothing to do says, before the address at which it does so.
ACCEPTS = "waits for connections"
#: Of the import system's own (Lib/importlib/_bootstrap.py): a module's lock, and the locks that guard it.
_IMPORT_LOCKS = frozenset({"acquire", "__enter__", "acquire_lock", "_acquire"})
#: Queues between interpreters (3.14; before, in the tests' own library) are polled: their waits are sleeps of 10 ms.
_BETWEEN_INTERPRETERS = ("concurrent/interpreters/_queues.py", "support/interpreters/queues.py")
#: Lines on which SQLite runs, which sleeps and tries again while another connection writes.
_DATABASE_CALLS = (".execute", ".commit(", ".rollback(", ".backup(")
#: A statement in the line itself, whatever executes it.
_STATEMENT = re.compile(r"""["'](?:BEGIN|INSERT|UPDATE|DELETE|REPLACE|COMMIT|SELECT|PRAGMA|VACUUM)\b""")
#: What wakes up whoever watches it, in a list of what an epoll watches.
_WAKE_UPS = ("unix", "pipe:", "eventfd", "socket:[")
_SELECT = re.compile(r"\b(?:select|poll|epoll|control)\w*\(|\bwait_for_(?:read|socket)")
#: How many frames from the leaf may still belong to a primitive of the standard library.
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Classification:
    """State of a thread, what it waits for in words, and the source site of the lock it waits for, if any."""

    state: State
    reason: str
    via: str = ""
    site: Site | None = None


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
        if name == "wait" and is_file(frame, THREADING):
            # py-spy gives bare names on old versions: a wait on top of a Condition's wait is an Event's.
            is_event = frame.function.startswith("Event") or (found == "Condition.wait" and name == frame.function)
            found = "Barrier.wait" if found == "Barrier.wait" else "Event.wait" if is_event else "Condition.wait"
            continue
        if frame.function.startswith("Condition."):
            continue
        found = next((c.via for c in calls_of(frame.file, frame.function, frame.origin) if c.via), found)
    return found


def waits_for_work(stack: Stack) -> bool:
    """True when the thread blocks in a known main loop of a worker, which has nothing to do."""
    return in_loop(stack)


def classify(wait: Wait, stack: Stack) -> Classification:
    """The state of a thread that waits so, with that stack. Pure; callers cache it per pair of interned objects."""
    kind = wait.kind
    if kind is WaitKind.RUNNING:
        return Classification(State.RUNNING, "running")
    if kind is WaitKind.GIL:
        return Classification(State.GIL, "waits for the GIL")
    if kind is WaitKind.SLEEP:
        return _sleep(wait, stack)
    if kind is WaitKind.FUTEX:
        return _futex(wait, stack)
    if kind is WaitKind.IO:
        return _io(wait, stack)
    if kind is WaitKind.DISK:
        return Classification(State.IO, f"disk: {wait.syscall or 'uninterruptible'}")
    if kind is WaitKind.MEMORY:
        return Classification(State.IO, "waits for memory: its cgroup is at the limit", via="memory")
    if kind is WaitKind.CHILD:
        if in_background(stack):
            return Classification(State.IDLE, "watches a child process", via="child")
        return Classification(State.IO, "waits for a child process", via="child")
    if kind is WaitKind.STOPPED:
        return Classification(State.UNKNOWN, "stopped")
    if kind is WaitKind.OTHER:
        if wait.syscall in _SIGNAL_WAITS:
            return Classification(State.IDLE, "waits for a signal", via="signal")
        return Classification(State.UNKNOWN, f"in system call {wait.syscall or '?'}")
    return Classification(State.UNKNOWN, "cannot be read")


def _sleep(wait: Wait, stack: Stack) -> Classification:
    leaf = stack.leaf
    if leaf is not None and any(is_file(leaf, place) for place in _BETWEEN_INTERPRETERS):
        if bare(leaf.function) == "put":
            return Classification(State.LOCK, "queue between interpreters is full (Queue.put)", via="Queue.put")
        if bare(leaf.function) == "get":
            words = "waits for an item of a queue between interpreters (Queue.get)"
            return Classification(State.IDLE, words, via="Queue.get")
    if wait.via != "native" or leaf is None:
        return Classification(State.SLEEP, "sleeps")
    if any(call in leaf.text for call in _DATABASE_CALLS) or _STATEMENT.search(leaf.text):
        return Classification(State.LOCK, "waits for the database's lock (SQLite tries again)", via="database")
    return Classification(State.SLEEP, "sleeps inside native code", via="native")


def _futex(wait: Wait, stack: Stack) -> Classification:
    leaf = stack.leaf
    if leaf is None:
        return Classification(State.IDLE, "native thread, waits on a futex", via="native")
    if wait.via == OBJECT_VIA:
        return Classification(State.LOCK, f"waits for a {wait.lock_kind} that another thread works on", via=wait.via)
    if wait.via == STOP_VIA:
        return Classification(State.LOCK, "is stopped while the interpreter stops all threads", via=wait.via)
    if wait.via == STOPPING_VIA:
        return Classification(State.LOCK, "waits until all other threads have stopped, as it asked for", via=wait.via)
    via = wait.via or via_of(stack)
    if via == "Event.wait" and via_of(stack) == "futures.wait":
        via = "futures.wait"  # which waits at an Event of its own
    # Main loops that call their task in their own frame: a C function that waits for a lock is a task.
    task = wait.lock_kind in _PLAIN_LOCKS and not wait.via and any(is_file(leaf, file) for file in _RUN_TASKS)
    if in_loop(stack) and not task:
        return Classification(State.IDLE, "waits for work", via=via or "work")
    if _imports(leaf):
        module = next((f.text for f in stack.frames if f.origin not in ("frozen", "native")), "")
        return Classification(State.LOCK, f"waits for an import ({module or 'which could not be read'})", via="import")
    user = stack.user_leaf
    site = user.acquires if user is not None else None
    if via in _LENDING_VIA:
        wanted = lent(stack)
        if wanted is not None:
            return Classification(
                State.LOCK, f"waits for {wanted[0]}" + (", with timeout" if wait.timed else ""), via="pool"
            )
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
    if ".poll(" in leaf.text or ".consume(" in leaf.text:
        return Classification(State.IDLE, "polls inside native code for what may come", via="poll")
    return Classification(State.UNKNOWN, "waits inside native code (a futex that is no lock of Python's)", via="native")


def in_native_lock(known: Classification, lock: str) -> Classification:
    """The same thread, once it is known that what it waits for in C is a lock that somebody has. Else as it was."""
    if known.state is not State.UNKNOWN or known.via != "native":
        return known
    return Classification(State.LOCK, f"waits for {lock}", via="native")


def _imports(leaf: Frame) -> bool:
    """Whether it waits in the import system: for a module that another thread imports."""
    return leaf.origin == "frozen" and "importlib" in leaf.file and bare(leaf.function) in _IMPORT_LOCKS


def _via_words(via: str, wait: Wait) -> str:
    words = {
        "Queue.get": "waits for an item (Queue.get)",
        "SimpleQueue.get": "waits for an item (SimpleQueue.get)",
        "Queue.put": "queue is full (Queue.put)",
        "Condition.wait": "waits to be notified (Condition.wait)",
        "Event.wait": "waits for an event (Event.wait)",
        "Thread.join": "joins a thread",
        "Queue.join": "waits until a queue is worked off",
        PROCESSES_JOIN: "waits until a queue between processes is worked off",
        "Semaphore.acquire": "waits for a semaphore",
        "Barrier.wait": "waits at a barrier",
        "Future.result": "waits for a future's result",
        "futures.wait": "waits for futures",
    }.get(via, f"waits ({via})")
    return words + (", with timeout" if wait.timed else "")


def _io(wait: Wait, stack: Stack) -> Classification:
    peer = wait.peer
    if peer is not None and wait.syscall in _READS and peer.kind in _NEWS:
        return Classification(State.IDLE, _NEWS[peer.kind], via="work")
    if joins_child(stack):
        return Classification(State.IO, "waits for a child process", via="child")
    if wait.syscall in _ACCEPTING:
        return Classification(State.IDLE, _io_words(wait, ACCEPTS), via="accept")
    if wait.syscall in _MULTIPLEXERS:
        if in_loop(stack):
            return Classification(State.IDLE, "event loop has nothing to do", via="select")
        if peer is not None and peer.status == "LISTEN":
            return Classification(State.IDLE, _io_words(wait, ACCEPTS), via="accept")
        if is_call(stack):
            return Classification(State.IO, _io_words(wait, "waits for the answer to a call"))
        if wait.syscall.startswith("epoll") and not _clients(wait, stack):
            return Classification(State.IDLE, "event loop has nothing to do", via="select")
    if wait.syscall in _READS or wait.syscall in _MULTIPLEXERS:
        if peer is not None and peer.accepted:
            return Classification(State.IDLE, _io_words(wait, "waits for a request"), via="request")
        if in_loop(stack):
            return Classification(State.IDLE, _io_words(wait, "waits for work"), via="work")
        if listens(stack):
            return Classification(State.IDLE, _io_words(wait, "waits for a message"), via="work")
        if peer is not None and _told_by_others(wait, stack):
            return Classification(State.IDLE, _io_words(wait, "waits for another process or thread"), via="work")
    return Classification(State.IO, _io_words(wait, wait.syscall or "I/O"))


def _clients(wait: Wait, stack: Stack) -> bool:
    """Whether the epoll watches connections alone that are somebody's answers: a single one, or those of a library that
    the program has called, which may watch, besides, what wakes it up. A call waits for its answer so, no event loop.
    """
    name = wait.peer.name if wait.peer is not None else ""
    watched = name.removeprefix("epoll of ")
    if watched == name:
        return False
    ends = watched.split(", ")
    if len(ends) > 1 and not _asked_a_library(stack):
        return False
    connections = [end for end in ends if not end.startswith(_WAKE_UPS)]
    return bool(connections) and all(":" in end for end in connections)


def _asked_a_library(stack: Stack) -> bool:
    """Whether it is code of a library that waits, which the program has called."""
    own = [f.origin for f in stack.frames if f.origin in ("user", "library")]
    return own[:1] == ["library"] and "user" in own


def _told_by_others(wait: Wait, stack: Stack) -> bool:
    """Whether it waits to be told what to do next, by a thread or process of the same program.

    A process that multiprocessing started for one function and that reads its pipe there; a library that watches the
    processes it started; a library's own thread that reads a pipe or watches several descriptors.
    """
    leaf, peer = stack.leaf, wait.peer
    if leaf is None or peer is None:
        return False
    inside = not peer.local and peer.kind in _INSIDE
    if in_background(stack):
        # With a time limit, an answer at its one connection is waited for by such a call as well.
        answer = peer.kind == "tcp" and bool(peer.local) and not _SELECT.search(leaf.text)
        return inside or (wait.syscall in _MULTIPLEXERS and not answer)
    if inside and any(is_file(leaf, place) for place in _PIPES) and in_child(stack.frames[-8:]):
        return not asks_manager(stack)
    return wait.syscall in _MULTIPLEXERS and watches_children(stack)


def _io_words(wait: Wait, verb: str) -> str:
    if wait.peer is None:
        return f"{verb} (fd {wait.fd})" if wait.fd >= 0 else verb
    return f"{verb} {wait.peer.described}"

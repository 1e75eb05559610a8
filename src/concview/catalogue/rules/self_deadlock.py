"""A finalizer, signal handler or callback waits for what its own thread has.

What it sees:
    A thread that waits for a lock, or a permit, which it has itself: it was taken further down its own stack, and what
    waits was not called there, but by the interpreter in between: `__del__`, a callback of weakref or of the garbage
    collector, a signal handler.

Why it hurts:
    It stands for ever, and so does everybody who needs the lock. It happens at any line in which the last reference
    goes away, the collector runs or a signal comes: once in a million times, and never in a test.

How it is measured:
    What the thread waits for and what it holds are read from memory (exact); where it was taken by acquire() and
    release(), that is told by the source (inferred). What calls back is told by the names on the stack, by the
    collector's own state, and by a line that does not call what is above it. It must stand for one second, or for five
    where it is inferred [D: nobody else can release it]: score 100 and 95. Demo pair: for ever (bad), never (fixed).

Fix:
    Take no lock there. Note what is to be done, and let the program do it where it holds no lock.

        def __del__(self): _closed.append(self.handle)        # collections.deque: takes no lock of Python's

        def handler(number, frame): global wanted; wanted = True      # an Event has a lock, too

    queue.SimpleQueue.put() may be called from a finalizer; queue.Queue.put() may not. An RLock does not help: the
    handler would see what it guards half changed.

When it is fine:
    Never: the thread cannot go on, whatever else the program does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.classify import bare
from concview.analysis.records import Run
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Concern, Confidence, Frame, Hold, Reference, State
from concview.source.origin import is_module
from concview.text import duration

_GIVES = frozenset({"release", "exit"})
_KINDS = frozenset({"Lock", "Semaphore"})
#: An inferred one must stand for longer: as long as an ordinary wait that is evidence by its length.
EXACT_S, INFERRED_S = 1.0, 5.0
_CALLED = re.compile(r"([A-Za-z_]\w*)\s*\(")
#: Calls of C code that calls nothing of Python's itself: what stands above such a line came from somewhere else.
_PLAIN = frozenset(
    {
        "sleep", "recv", "recv_into", "recvfrom", "send", "sendall", "accept", "connect", "read", "readline", "write",
        "flush", "acquire", "release", "wait", "select", "poll", "len", "range", "list", "dict", "set", "tuple", "int",
        "str", "float", "bytes", "bytearray", "append", "appendleft", "pop", "popleft", "extend", "update", "clear",
        "copy", "keys", "values", "items", "get", "setdefault", "add", "discard", "remove", "join", "split", "strip",
        "encode", "decode", "format", "monotonic", "time", "perf_counter", "sum", "abs", "hash", "id", "collect",
    }
)  # fmt: skip
_OPENS = ("for ", "async ", "await ", "yield", "import ", "from ", "class ", "@", "return await ")


class SelfDeadlock:
    id: ClassVar[str] = "self-deadlock"
    title: ClassVar[str] = "A thread waits for a lock that it holds itself, in code that ran in between"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(EXACT_S, EXACT_S, "s", "[D] nobody else can release it")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "locks")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time that nothing has moved"
    concern: ClassVar[Concern] = Concern.GIVER
    moment: ClassVar[bool] = True

    def observe(self, window: Window) -> Iterable[Observation]:
        done: set[int] = set()
        known = {t.tid: t for t in window.threads}
        for edge in window.edges:
            thread = known.get(edge.waiter)
            if edge.waiter == edge.holder and thread is not None and not edge.wait_run.wait.timed:
                entry = _entry(window, thread, edge.wait_run, edge.hold)
                if entry is not None:
                    done.add(edge.waiter)
                    name = evidence.site_name(edge.hold.site, edge.hold.kind, edge.hold.lock)
                    yield _one(window, thread, edge.wait_run, name, edge.hold.site.line, entry, True)
        for thread, run, reference, name in _inferred(window):
            if thread.tid not in done:
                entry = _between(window, thread, run, _position(run, reference.function, reference.file))
                if entry is None and run.wait.lock_kind != "Lock":
                    continue  # another permit of a semaphore may come from anywhere
                yield _one(window, thread, run, name, reference.past_line or reference.line, entry, False)


def _inferred(window: Window) -> Iterable[tuple[ThreadWindow, Run, Reference, str]]:
    """Threads that wait for an object which a frame further down their stack has yet to release, and nobody else."""
    for one in window.relations:
        if one.kind not in _KINDS or not one.complete or one.more or one.owner or one.value != (one.kind == "Lock"):
            continue
        giving = [r for r in one.references if r.will in _GIVES and r.past]
        if any(r.tid not in one.waiters or not r.source for r in giving):
            continue
        if any(r.tid not in one.waiters and r.will in _GIVES for r in one.references):
            continue
        for tid in one.waiters:
            thread = window.thread(tid)
            run = thread.history.current if thread is not None else None
            mine = [r for r in giving if r.tid == tid and r.part != "head"]
            if thread is None or run is None or run.wait.timed or run.wait.lock != one.address:
                continue
            outer = [r for r in mine if _position(run, r.function, r.file) > _asking(run)]
            if outer:
                yield thread, run, outer[-1], one.name or "it"


def _asking(run: Run) -> int:
    """Index of the program's own frame that waits."""
    return next((i for i, f in enumerate(run.stack.frames) if f is run.stack.user_leaf), 0)


def _position(run: Run, function: str, file: str) -> int:
    """Index of the outermost frame of that function; -1."""
    found = [i for i, f in enumerate(run.stack.frames) if f.function == function and f.file == file]
    return found[-1] if found else -1


#: (what has come in between, in words; the frame with which it begins; what is to be done instead)
_Entry = tuple[str, Frame, str]


def _entry(window: Window, thread: ThreadWindow, run: Run, hold: Hold) -> _Entry | None:
    return _between(window, thread, run, _position(run, hold.site.function, hold.site.file))


def _between(window: Window, thread: ThreadWindow, run: Run, holder: int) -> _Entry | None:
    """What lies between the frame that took it and the one that waits, where the interpreter began it. A function that
    waits for its own lock once more has taken it in an earlier call of itself."""
    frames = run.stack.frames
    for position in range(holder - 1 if holder > 0 else len(frames) - 2, -1, -1):
        frame, caller = frames[position], frames[position + 1]
        name = bare(frame.function)
        if name == "__del__":
            return "the finalizer", frame, "finalizer"
        if is_module(caller.file, "weakref.py", caller.origin) and frame.origin == "user":
            return "the weakref callback", frame, "finalizer"
        if frame.origin == "user" and _came_by_itself(frame, caller):
            if window.history.gil and window.history.gil[-1].collecting:
                return "the callback of the garbage collector", frame, "finalizer"
            if thread.tid == window.target.pid:
                return "what seems to be a signal handler,", frame, "signal"
    return None


def _came_by_itself(frame: Frame, caller: Frame) -> bool:
    """Whether the caller's line calls nothing that could have led to the frame."""
    name, text = bare(frame.function), caller.text
    if (
        not text
        or name.startswith(("<", "__"))
        or text.startswith(_OPENS)
        or re.search(rf"\b{re.escape(name)}\b", text)
    ):
        return False
    return "<locals>" not in frame.function and set(_CALLED.findall(text)) <= _PLAIN


def _first(thread: ThreadWindow, run: Run) -> int:
    """Since when it has been seen to wait for this lock: signals interrupt the wait, and a handler that is called once
    more waits for it once more."""
    first = run.start_ns
    for slice_ in reversed(thread.slices):
        one = slice_.run
        if one.wait.lock != run.wait.lock or one.state is not State.LOCK:
            if one.wait.lock or one.state in (State.IO, State.SLEEP, State.IDLE):
                break
            continue  # about to wait again
        first = min(first, slice_.start_ns)
    return first


_INSTEAD = {
    "finalizer": (
        "Take no lock in a finalizer or a callback of the collector: it runs at whatever line the last reference goes, "
        "also while the lock is held. Leave word, and do it elsewhere.\n\n"
        "    def __del__(self): _closed.append(self.handle)      # a collections.deque; a thread closes them\n\n"
        "queue.SimpleQueue.put() may be called there, queue.Queue.put() may not. An RLock is no remedy: what it guards "
        "would be seen half changed."
    ),
    "signal": (
        "Take no lock in a signal handler: it runs at whatever line the main thread is at, also while the lock is "
        "held. Set a plain flag, and look at it where nothing is held; or let a thread wait for signals.\n\n"
        "    wanted = False\n"
        "    def handler(number, frame): global wanted; wanted = True\n"
        "    number = signal.sigwait({signal.SIGUSR1})           # in a thread of its own, with the signal blocked\n\n"
        "An RLock is no remedy: what it guards would be seen half changed."
    ),
    "": (
        "Make it re-entrant, or split the function so that the inner part expects the lock to be held.\n\n"
        "    lock = threading.RLock()\n"
        "    def _update_locked(self): ...   # caller holds the lock"
    ),
}


def _one(
    window: Window, thread: ThreadWindow, run: Run, name: str, taken: int, entry: _Entry | None, exact: bool
) -> Observation:
    first = _first(thread, run)
    stood = max(0, window.end_ns - (run.began_ns if first >= run.start_ns else first)) / 1e9
    seen = max(0, window.end_ns - first) / 1e9
    wanted = EXACT_S if exact else INFERRED_S
    what, frame, instead = entry or ("", None, "")
    spot = evidence.frame_spot(run.stack.user_leaf)
    after = "; that code goes on only when this returns" if frame is not None else ""
    begun = f", in {what} {frame.function}" if frame is not None else ""
    return Observation(
        subject=f"{thread.tid} {name}",
        value=stood,
        lower=stood,
        samples=evidence.samples_in(window, min(stood, window.seconds) * 1e9),
        episodes=1,
        confidence=Confidence.EXACT if exact else Confidence.INFERRED,
        label=thread.name,
        title=(
            f"{thread.name} waits for {name} in {frame.function}, and has it itself"
            if frame is not None
            else f"{thread.name} waits for {name}, and has it itself"
        ),
        summary=(
            f"{thread.name} waits for {name} ({spot}){begun}, and has taken it further down its own stack (line "
            f"{taken}){after}.{evidence.unchanged(window, stood)}"
        ),
        fix=_INSTEAD[instead],
        gain="This thread, and all that need what it holds, do not move again before a restart.",
        check_next=f"What else may run in between while {name} is held? Every __del__, callback and handler counts.",
        where=evidence.places(run.stack),
        threads=(thread.tid,),
        stacks=evidence.shown("waits for itself", thread.tid, thread.name, run.stack, f"has {name}, waits for {name}"),
        explains=(
            ("deadlock", f"{thread.tid} itself"),
            *((rule, f"{run.wait.lock:#x}") for rule in ("lost-at-fork", "lock-contention", "semaphore-starvation")),
            ("gc-storm", "*"),
        ),
        score=100 if exact else 95,
        needs=""
        if seen >= wanted or window.moment
        else f"it to be seen to stand for {wanted:g} s (was for {duration(seen)})",
    )


RULE = SelfDeadlock()

"""Who waits for whom across the borders of processes that are watched together.

A lock of multiprocessing by its semaphore, which the holder's frames show it to hold; a child that is waited for; the
other end of a pipe or connection; a lock on a file. What is told is of one moment, the last one that was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from concview.model import Child, Confidence, FileLock, Link, State
from concview.snapshot import Snapshot, ThreadView

if TYPE_CHECKING:
    from concview.session.session import Session

#: (pid, tid): a thread of any of the processes.
Node = tuple[int, int]
#: Told at most.
MOST = 100
_LOCK = "multiprocessing."
_ONE = ("multiprocessing.Lock", "multiprocessing.RLock")  #: that one thread can have at a time
#: What a thread that waits so may still be woken by is told nowhere: with a time limit it goes on by itself.
_SETTLED = (State.LOCK, State.IO, State.IDLE)


@dataclass(frozen=True, slots=True)
class Across:
    """`waiter` waits for `holder`, a thread of another process; its tid is 0 where that is not known."""

    waiter: Node
    holder: Node
    via: str  #: 'lock', 'child', 'pipe', 'tcp', 'unix', 'file lock'
    what: str  #: 'multiprocessing.Lock (jobs.py:7)'
    does: str  #: what the holder does
    confidence: Confidence
    timed: bool = False  #: the wait has a time limit


@dataclass(frozen=True, slots=True)
class Found:
    edges: tuple[Across, ...] = ()
    circles: tuple[tuple[Node, ...], ...] = ()  #: of threads that wait for each other, over at least one border


@dataclass(frozen=True, slots=True)
class Side:
    """What is told of one process for this, at one moment."""

    snapshot: Snapshot
    children: tuple[Child, ...] = ()
    links: tuple[Link, ...] = ()
    file_locks: tuple[FileLock, ...] = ()


def side_of(session: Session) -> Side:
    known = session.history.relations
    return Side(session.snapshot(), known.children(), known.links(), known.file_locks())


def look(sides: Mapping[int, Side], semaphores: Callable[[int, Iterable[int]], Mapping[int, str]]) -> Found:
    """`sides`: by pid, of those that live. `semaphores`: names what locks of a process are, by their addresses (see
    `process.shared`)."""
    pictures = {pid: side.snapshot for pid, side in sides.items()}
    edges = [*_locks(pictures, semaphores), *_told(sides, pictures)][:MOST]
    return Found(tuple(edges), _circles(edges, pictures))


# ---------------------------------------------------------------- edges


def _locks(
    pictures: Mapping[int, Snapshot], semaphores: Callable[[int, Iterable[int]], Mapping[int, str]]
) -> Iterable[Across]:
    names: dict[int, Mapping[int, str]] = {}
    for pid, snapshot in pictures.items():
        waited = [t.wait.lock for t in snapshot.threads if t.alive and t.wait.lock_kind.startswith(_LOCK)]
        held = [h.lock for t in snapshot.threads if t.alive for h in t.holds if h.kind.startswith(_LOCK)]
        names[pid] = semaphores(pid, [address for address in (*waited, *held) if address])
    holders: dict[str, list[tuple[Node, ThreadView, Confidence]]] = {}
    for pid, snapshot in pictures.items():
        for thread in snapshot.threads:
            for hold in thread.holds if thread.alive else ():
                name = names[pid].get(hold.lock) if hold.kind.startswith(_LOCK) else None
                if name:
                    holders.setdefault(name, []).append(((pid, thread.tid), thread, hold.confidence))
    for pid, snapshot in pictures.items():
        for thread in snapshot.threads:
            wait = thread.wait
            name = names[pid].get(wait.lock) if thread.alive and wait.lock_kind.startswith(_LOCK) else None
            if not name or thread.state is not State.LOCK:
                continue
            having = [h for h in holders.get(name, ()) if h[0] != (pid, thread.tid)]
            # The pictures are of moments up to a third of a second apart: it may have gone from one to the other.
            moved = len(having) > 1 and wait.lock_kind in _ONE
            for node, holder, confidence in having:
                if node[0] != pid:
                    what = f"{wait.lock_kind}{_place(thread)}"
                    sure = Confidence.INFERRED if moved else confidence
                    yield Across((pid, thread.tid), node, "lock", what, _does(holder), sure, wait.timed)


def _told(sides: Mapping[int, Side], pictures: Mapping[int, Snapshot]) -> Iterable[Across]:
    """What the collectors have found out of children, other ends and locks on files, where that is one of ours."""
    for pid, known in sides.items():
        snapshot = known.snapshot
        for child in known.children:
            for tid in child.waiters:
                if child.pid in pictures and (thread := _waiting(snapshot, tid)) is not None:
                    main = pictures[child.pid].thread(child.pid)
                    does = _does(main) if main is not None else ""
                    yield Across((pid, tid), (child.pid, child.pid), "child", "its end",
                                 does, Confidence.EXACT, thread.wait.timed)  # fmt: skip
        for link in known.links:
            for owner in link.owners if not link.users else ():
                for tid in link.waiters:
                    thread = _waiting(snapshot, tid)
                    if owner.pid not in pictures or thread is None or (len(link.owners) > 1 and not owner.waits):
                        continue  # a fork's copies: any of them could be meant
                    other = _only(pictures[owner.pid])
                    node = (owner.pid, other.tid if other is not None else 0)
                    sure = Confidence.EXACT if len(link.owners) == 1 else Confidence.INFERRED
                    does = _does(other) if other is not None else ""
                    yield Across((pid, tid), node, link.kind, f"the other end of a {link.kind}{_place(thread)}", does,
                                 sure, thread.wait.timed)  # fmt: skip
        for lock in known.file_locks:
            for tid in lock.waiters:
                thread = _waiting(snapshot, tid)
                if lock.holder in pictures and lock.holder != pid and thread is not None:
                    other = _only(pictures[lock.holder])
                    node = (lock.holder, other.tid if other is not None else 0)
                    does = _does(other) if other is not None else ""
                    yield Across((pid, tid), node, "file lock", f"the lock on {lock.path}{_place(thread)}", does,
                                 Confidence.EXACT, thread.wait.timed)  # fmt: skip


def _waiting(snapshot: Snapshot, tid: int) -> ThreadView | None:
    """The thread, if it still waits."""
    thread = snapshot.thread(tid)
    return thread if thread is not None and thread.alive and thread.state in _SETTLED else None


def _only(snapshot: Snapshot) -> ThreadView | None:
    """The one thread of Python's that a process has; of several it is not known which will answer."""
    those = [t for t in snapshot.threads if t.alive and not t.native]
    return those[0] if len(those) == 1 else None


def _place(thread: ThreadView) -> str:
    frame = thread.stack.user_leaf
    return f" ({frame.file.rpartition('/')[2]}:{frame.line})" if frame is not None else ""


def _does(thread: ThreadView) -> str:
    return thread.because or thread.reason or thread.state.name.lower()


# ---------------------------------------------------------------- circles


def _circles(edges: Sequence[Across], pictures: Mapping[int, Snapshot]) -> tuple[tuple[Node, ...], ...]:
    """Each once, beginning with its smallest node. Only waits without a time limit count: the others end."""
    ahead: dict[Node, list[Node]] = {}
    borders = set()
    for edge in edges:
        if not edge.timed and edge.holder[1]:
            ahead.setdefault(edge.waiter, []).append(edge.holder)
            borders.add((edge.waiter, edge.holder))
    for pid, snapshot in pictures.items():
        for inner in (e for chain in snapshot.chains for e in chain.edges):
            waiter = snapshot.thread(inner.waiter)
            if waiter is not None and not waiter.wait.timed:
                ahead.setdefault((pid, inner.waiter), []).append((pid, inner.holder))
    found: set[tuple[Node, ...]] = set()
    for start in ahead:
        path, seen = [start], {start: 0}
        while True:
            # One way is followed: a thread waits for one thing at a time, nearly always.
            following = next(iter(ahead.get(path[-1], ())), None)
            if following is None:
                break
            if following in seen:
                circle = path[seen[following] :]
                if any(pair in borders for pair in zip(circle, [*circle[1:], circle[0]], strict=True)):
                    first = circle.index(min(circle))
                    found.add((*circle[first:], *circle[:first]))
                break
            seen[following] = len(path)
            path.append(following)
    return tuple(sorted(found))

"""Who waits for whom across the borders of processes that are watched together.

A lock of multiprocessing by its semaphore: every process counts what it took; a child that is waited for; the other end
of a pipe or connection; a lock on a file. What is told is of one moment, the last one that was seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from concview.analysis.known_places import bare, is_file, joins_child
from concview.analysis.other_end import users_of
from concview.model import (
    Confidence,
    Semaphore,
    Severity,
    State,
    WaitKind,
)
from concview.session.blame import NOT_YET, UNNAMED
from concview.session.lent import lent, serving
from concview.session.results import results
from concview.session.side import Side
from concview.session.standstill import Never, Node, Sharers, never
from concview.session.supervisor import WATCHES
from concview.snapshot import Blame, BlameCause, Snapshot, ThreadView
from concview.text import duration, file_name, listed, plural, waits

#: In a recording, which cannot be asked again: so long a thread must have waited for a lock that nobody has, seconds.
LOST_S = 10.0
#: Who is at both ends of a connection waits for the other one for good when both have stood there for so long: what is
#: on its way arrives sooner, and what is told of each is of moments up to two seconds apart. Seconds.
STEADY_S = 2.5
#: Told at most.
MOST = 100
_ONE = frozenset({"Lock", "RLock"})  #: that one thread can have at a time
#: `Wait.lock_kind` of those.
_KINDS = frozenset(f"multiprocessing.{k}" for k in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"))
#: What a thread that waits so may still be woken by is told nowhere: with a time limit it goes on by itself.
_SETTLED = (State.LOCK, State.IO, State.IDLE)
#: Verdicts of one process that say that nobody is in anybody's way.
_CALM = frozenset({"clear", "idle", "outside", "waits", WATCHES})
#: Workers that are named in a sentence.
MOST_NAMED = 3
_LINKS = {"pipe": "a pipe", "tcp": "a TCP connection", "unix": "a Unix socket"}
_CONNECTIONS = frozenset(_LINKS)


#: What the verdict of one process alone says of the others, which are looked at here.
_HINT = re.compile(r" \(check --tree [^)]*\)")


@dataclass(frozen=True, slots=True)
class Across:
    """`waiter` waits for `holder`, a thread of another process; its tid is 0 where that is not known."""

    waiter: Node
    holder: Node
    via: str  #: 'lock', 'child', 'pipe', 'tcp', 'unix', 'file lock', 'result'
    what: str  #: 'multiprocessing.Lock (jobs.py:7)'
    does: str  #: what the holder does
    confidence: Confidence
    timed: bool = False  #: the wait has a time limit

    @property
    def comes(self) -> str:
        return "held by" if self.via in ("lock", "file lock") else "to come from"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A lock of multiprocessing that is taken, and that none of the processes has. `sure`: no other process shares it,
    so whoever took it has died; else it may be one that was not looked at."""

    key: str
    what: str  #: 'multiprocessing.Lock (jobs.py:7)'
    waiters: tuple[Node, ...]
    sure: bool = False
    asked: frozenset[int] = frozenset()  #: processes that said whether they have it

    @property
    def why(self) -> str:
        if self.sure:
            return f"{self.what}: the process that took it has died and cannot give it back"
        return f"{self.what}: none of these processes has taken it: its holder has died, or is none of them"


@dataclass(frozen=True, slots=True)
class Found:
    edges: tuple[Across, ...] = ()
    circles: tuple[tuple[Node, ...], ...] = ()  #: of threads that wait for each other, over at least one border
    orphans: tuple[Orphan, ...] = ()
    never: tuple[Never, ...] = ()  #: what processes wait for and does not come

    @property
    def waiters(self) -> frozenset[Node]:
        """Threads of which it is known for whom they wait, or that nobody can help them."""
        return frozenset((*(e.waiter for e in self.edges), *(w for o in self.orphans for w in o.waiters)))


#: Whether nobody has a semaphore at this moment: by pid, what each process said of it.
Untaken = Callable[[Mapping[int, Semaphore]], bool]


def look(sides: Mapping[int, Side], sharers: Sharers | None = None, untaken: Untaken | None = None) -> Found:
    """`sides`: by pid, of those that live. `sharers` and `untaken`: ask the kernel and the processes themselves, which
    a recording cannot."""
    pictures = {pid: side.snapshot for pid, side in sides.items()}
    locks, orphans = _locks(sides, untaken)
    every = [*locks, *_told(sides, pictures), *_results(sides)]
    borrowed, forsaken, waits_for = _lent(sides, every)
    # Of one that waits for another process itself its own process knows less.
    waits_for = {e.waiter: e.what for e in every if e.via == "lock"} | waits_for
    every = [replace(e, does=f"waits for {waits_for[e.holder]}") if e.holder in waits_for else e for e in every]
    edges, orphans = [*borrowed, *every][:MOST], [*orphans, *forsaken]
    if orphans and sharers is not None:
        having = sharers([o.key for o in orphans if not o.sure])
        orphans = [
            o if o.sure else replace(o, sure=o.key in having and having[o.key] <= o.asked)
            for o in orphans
            # One of ours shares it and has not been looked through yet: nothing is known.
            if o.sure or not having.get(o.key, frozenset()) & sides.keys() - o.asked
        ]
    circles = _circles(edges, pictures)
    known = {node for nodes in (*circles, *(o.waiters for o in orphans)) for node in nodes}
    return Found(tuple(edges), circles, tuple(orphans), tuple(never(sides, sharers, known)))


# ---------------------------------------------------------------- edges


def _locks(sides: Mapping[int, Side], untaken: Untaken | None) -> tuple[list[Across], list[Orphan]]:
    """Who waits for a lock or semaphore of multiprocessing that another process has; and those that nobody has."""
    rows: dict[str, list[tuple[int, Semaphore]]] = {}
    for pid, side in sides.items():
        for row in side.semaphores:
            rows.setdefault(row.key, []).append((pid, row))
    edges: list[Across] = []
    orphans: list[Orphan] = []
    for key, those in rows.items():
        kind = next((row.kind for _, row in those if row.kind), "")
        # One process gives what another one takes: it counts something, or passes a signal on, and nobody "has" it.
        signal = any(row.count < 0 for _, row in those)
        called = _called(kind, [sides[pid].snapshot.thread(tid) for pid, row in those for tid in row.waiters])
        holders = [(pid, row) for pid, row in those if row.count > 0 and not signal]
        # After a fork that multiprocessing knows nothing of, parent and child both count what the parent took; and the
        # reports are of moments up to two seconds apart.
        sure = Confidence.EXACT if len(holders) == 1 and kind in _ONE else Confidence.INFERRED
        lost: list[tuple[Node, ThreadView]] = []
        queue = {(pid, tid) for pid, row in those for tid in row.waiters if _waiting(sides[pid].snapshot, tid)}
        for pid, row in those:
            for tid in row.waiters:
                thread = _waiting(sides[pid].snapshot, tid)
                if thread is None or _for_room(thread):
                    continue
                what = f"{called}{_place(thread)}"
                for other, having in holders:
                    if other != pid:
                        owner = _owner(sides[other].snapshot, having.tid)
                        node = (other, owner.tid if owner is not None else 0)
                        # Its picture may be of a moment at which it did not have it yet, or not any more.
                        does = _does(owner) if owner is not None and node not in queue else ""
                        edges.append(Across((pid, tid), node, "lock", what, does, sure, thread.wait.timed))
                # Workers pass the lock of their queue on all the time: that nobody has it must be seen at one moment.
                steady = untaken is not None or (thread.state is State.LOCK and thread.since_s >= LOST_S)
                if not holders and not signal and row.value == 0 and steady:
                    lost.append(((pid, tid), thread))
        # A semaphore that counts what was put somewhere belongs to nobody: it is given by others than take it.
        if not lost or kind not in _ONE or not all(row.known or row.searched for _, row in those):
            continue
        if untaken is None or untaken(dict(those)):
            what = f"{called}{_place(lost[0][1])}"
            orphans.append(Orphan(key, what, tuple(node for node, _ in lost), asked=frozenset(pid for pid, _ in those)))
    return edges, orphans


def _called(kind: str, waiting: Sequence[ThreadView | None]) -> str:
    """'multiprocessing.BoundedSemaphore', as the object is called at which somebody waits. `kind`: by the semaphore
    itself, which is the same for a lock and for a bounded semaphore that has one permit."""
    for thread in waiting:
        if thread is not None and thread.wait.lock_kind in _KINDS:
            return thread.wait.lock_kind
    return f"multiprocessing.{kind}" if kind in ("RLock", "Semaphore") else "multiprocessing lock or semaphore"


def _lent(sides: Mapping[int, Side], edges: Sequence[Across]) -> tuple[list[Across], list[Orphan], dict[Node, str]]:
    """The same of locks of a multiprocessing.Manager, whose process waits for them in place of its clients. The third:
    for what each of its threads waits that does so."""
    found: list[Across] = []
    orphans: list[Orphan] = []
    waits_for: dict[Node, str] = {}
    for one in lent(sides):
        served = [e.waiter for e in edges if e.holder in {(one.server, tid) for tid in one.waiters}]
        client = sides[served[0][0]].snapshot.thread(served[0][1]) if served else None
        what = "a Manager's lock" + (_place(client) if client is not None else "")
        waits_for.update({(one.server, tid): what for tid in one.waiters})
        for pid, tid in one.holders:
            owner = sides[pid].snapshot.thread(tid)
            does = _does(owner) if owner is not None else ""
            sure = Confidence.EXACT if len(one.holders) == 1 else Confidence.INFERRED
            found += [Across((one.server, w), (pid, tid), "lock", what, does, sure) for w in one.waiters]
        if one.lost:
            nodes = tuple((one.server, w) for w in one.waiters)
            orphans.append(Orphan(f"{one.server}:{one.lock:x}", what, (*nodes, *served), sure=True))
    return found, orphans, waits_for


def _for_room(thread: ThreadView) -> bool:
    """In a queue of multiprocessing: whoever reads it gives that, not whoever has put something."""
    return any(
        bare(f.function) == "put" and (is_file(f, "multiprocessing/queues.py") or is_file(f, "billiard/queues.py"))
        for f in thread.stack.frames[:4]
    )


def _owner(snapshot: Snapshot, tid: int) -> ThreadView | None:
    """The thread that took it, or the only one there is."""
    thread = snapshot.thread(tid) if tid else None
    return thread if thread is not None and thread.alive else _only(snapshot)


def _told(sides: Mapping[int, Side], pictures: Mapping[int, Snapshot]) -> Iterable[Across]:
    """What the collectors have found out of children, other ends and locks on files, where that is one of ours."""
    for pid, known in sides.items():
        snapshot = known.snapshot
        for child in known.children:
            for tid in child.waiters:
                thread = _waiting(snapshot, tid)
                # Those that read what it writes are told with the pipe.
                if child.pid in pictures and thread is not None and _for_end(thread):
                    main = pictures[child.pid].thread(child.pid)
                    does = _does(main) if main is not None else ""
                    yield Across(
                        (pid, tid),
                        (child.pid, child.pid),
                        "child",
                        "its end",
                        does,
                        Confidence.EXACT,
                        thread.wait.timed,
                    )
        for link in known.links:
            for owner in link.owners:
                for tid in link.waiters:
                    thread = _waiting(snapshot, tid)
                    if owner.pid not in pictures or thread is None or (len(link.owners) > 1 and not owner.waits):
                        continue  # a fork's copies: any of them could be meant
                    if users_of(link, thread.stack, tid):
                        continue
                    serves = pictures[owner.pid].thread(serving(sides[owner.pid], link.peer_inode))
                    other = serves or _only(pictures[owner.pid])
                    node = (owner.pid, other.tid if other is not None else 0)
                    sure = Confidence.EXACT if len(link.owners) == 1 else Confidence.INFERRED
                    does = _does(other) if other is not None else ""
                    yield Across(
                        (pid, tid),
                        node,
                        link.kind,
                        f"the other end of {_LINKS.get(link.kind, link.kind)}{_place(thread)}",
                        does,
                        sure,
                        thread.wait.timed,
                    )
        for lock in known.file_locks:
            for tid in lock.waiters:
                thread = _waiting(snapshot, tid)
                if lock.holder in pictures and lock.holder != pid and thread is not None:
                    other = _only(pictures[lock.holder])
                    node = (lock.holder, other.tid if other is not None else 0)
                    does = _does(other) if other is not None else ""
                    yield Across(
                        (pid, tid),
                        node,
                        "file lock",
                        f"the lock on {lock.path}{_place(thread)}",
                        does,
                        Confidence.EXACT,
                        thread.wait.timed,
                    )


def _results(sides: Mapping[int, Side]) -> Iterable[Across]:
    for waiter, worker in results(sides):
        asks, works = (_waiting(sides[pid].snapshot, tid) for pid, tid in (waiter, worker))
        works = works or sides[worker[0]].snapshot.thread(worker[1])
        if asks is not None and works is not None:
            yield Across(
                waiter, worker, "result", f"a result{_place(asks)}", _does(works), Confidence.INFERRED, asks.wait.timed
            )


def _for_end(thread: ThreadView) -> bool:
    return thread.wait.kind is not WaitKind.IO or joins_child(thread.stack)


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
    return f" ({file_name(frame.file)}:{frame.line})" if frame is not None else ""


def _does(thread: ThreadView) -> str:
    return _HINT.sub("", thread.because) or thread.reason or thread.state.name.lower()


# ---------------------------------------------------------------- circles


def _circles(edges: Sequence[Across], pictures: Mapping[int, Snapshot]) -> tuple[tuple[Node, ...], ...]:
    """Each once, beginning with its smallest node. Only waits without a time limit count: the others end."""
    ahead: dict[Node, list[Node]] = {}
    borders = set()
    # Of several workers in a task, another one may have the one that is waited for.
    asked = Counter(e.waiter for e in edges if e.via == "result")
    for edge in edges:
        waiting = pictures[edge.waiter[0]].thread(edge.waiter[1])
        steady = waiting is not None and (edge.via not in _CONNECTIONS or waiting.since_s >= STEADY_S)
        if not edge.timed and edge.holder[1] and steady and (edge.via != "result" or asked[edge.waiter] == 1):
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


# ---------------------------------------------------------------- what one process alone cannot explain


def explained(snapshot: Snapshot, pid: int, found: Found, name: Callable[[Node], str]) -> Snapshot:
    """The same picture, where what it cannot tell is for which other processes its threads wait: then with who these
    are. `name`: of a thread."""
    if snapshot.blame is None:
        return snapshot
    blame = _without_hints(snapshot.blame)
    if blame != snapshot.blame:
        snapshot = msgspec.structs.replace(snapshot, blame=blame)
    stands = next((n for n in found.never if any(w[0] == pid for w in n.waiters)), None)
    first = max(blame.causes, key=lambda c: c.thread_s, default=None)
    if stands is not None and (blame.severity is not Severity.WARN or (first is not None and _leads_out(first))):
        mine = [tid for p, tid in stands.waiters if p == pid]
        number, one = len(mine), snapshot.thread(mine[0])
        who = f" ({one.name})" if one is not None else ""
        verdict = "Stuck" if stands.sure else "Held up"
        sentence = f"{verdict}: {plural(number, 'thread')}{who} {waits(number)} for {stands.why}."
        # What a rule found in a worker that waits itself is the same thing, seen from there alone.
        rule = blame.rule if pid in stands.workers else ""
        said = msgspec.structs.replace(
            blame,
            verdict=verdict.lower(),
            severity=Severity.WARN if stands.sure else Severity.INFO,
            rule=rule,
            sentence=sentence,
            more=_other(blame.more),
        )
        return msgspec.structs.replace(snapshot, blame=said)
    if (asks := _asks(snapshot, blame, pid, found, name)) is not None:
        return msgspec.structs.replace(snapshot, blame=asks)
    why: dict[int, tuple[str, bool]] = {w[1]: (o.why, o.sure) for o in found.orphans for w in o.waiters if w[0] == pid}
    beyond = {e.waiter: e for e in found.edges if e.via == "lock"}
    ring = {node for nodes in found.circles for node in nodes}
    for edge in found.edges:
        if edge.waiter[0] == pid:
            tid = edge.waiter[1]
            # A Manager's process waits in place of its clients.
            if edge.via in _CONNECTIONS:
                edge = beyond.get(edge.holder, edge)
            does = f": {edge.does}" if edge.does else ""
            why.setdefault(tid, (f"{edge.what}, {edge.comes} {name(edge.holder)}{does}", (pid, tid) in ring))
    open_ends = [c for c in blame.causes if _leads_out(c)]
    if not open_ends or any(not c.threads or not set(c.threads) <= why.keys() for c in open_ends):
        return snapshot
    in_the_way = [c for c in blame.causes if _leads_out(c) or c.family == "taken"]
    if not _leads_out(max(in_the_way, key=lambda c: c.thread_s)):
        return snapshot
    causes = tuple(
        msgspec.structs.replace(c, family="taken", kind="process", what=why[c.threads[0]][0]) if _leads_out(c) else c
        for c in blame.causes
    )
    longest = max(open_ends, key=lambda c: c.thread_s)
    words, lost = why[longest.threads[0]]
    who = f" ({longest.who})" if longest.who else ""
    number = len(longest.threads)
    told = f"{plural(number, 'thread')}{who} {waits(number)} for {words}."
    return msgspec.structs.replace(
        snapshot,
        blame=msgspec.structs.replace(
            blame,
            verdict="stuck" if lost else "held up",
            severity=Severity.WARN if lost else blame.severity,
            sentence=f"{'Stuck' if lost else 'Held up by another process'}: {told}",
            held_up=blame.held_up + blame.unexplained,
            unexplained=0.0,
            causes=causes,
            more=_other(blame.more),
        ),
    )


def _asks(snapshot: Snapshot, blame: Blame, pid: int, found: Found, name: Callable[[Node], str]) -> Blame | None:
    """Where nothing else is in anybody's way: that one of its threads has waited for a result of its workers for as
    long as it was looked at, and which of them are in a task. None where none has."""
    if blame.severity is not None or blame.verdict not in _CALM or not blame.seconds:
        return None
    asked: dict[int, list[Across]] = {}
    for edge in found.edges:
        if edge.via == "result" and edge.waiter[0] == pid:
            asked.setdefault(edge.waiter[1], []).append(edge)
    waiting = {tid: t for tid in asked if (t := snapshot.thread(tid)) is not None and t.since_s >= 0.9 * blame.seconds}
    if not waiting:
        return None
    one = max(waiting.values(), key=lambda t: t.since_s)
    edges = asked[one.tid]
    those = [f"{name(e.holder)}{f': {e.does}' if e.does else ''}" for e in edges]
    whom = those[0] if len(those) == 1 else f"one of {len(those)} workers in a task, {listed(those, MOST_NAMED)}"
    rest = len(waiting) - 1
    more = f" So {waits(rest)} {plural(rest, 'more thread')}." if rest else ""
    said = f"{one.name} waits for {edges[0].what}, for {duration(one.since_s)}, to come from {whom}.{more}"
    return msgspec.structs.replace(blame, verdict="waits", sentence=f"Waits for a worker process: {said}")


def _without_hints(blame: Blame) -> Blame:
    return msgspec.structs.replace(
        blame,
        sentence=_HINT.sub("", blame.sentence),
        more=tuple(_HINT.sub("", line) for line in blame.more),
        causes=tuple(msgspec.structs.replace(c, what=_HINT.sub("", c.what)) for c in blame.causes),
    )


def _other(more: Sequence[str]) -> tuple[str, ...]:
    """What holds as well once it is explained."""
    return tuple(m for m in more if m != UNNAMED and not m.startswith(NOT_YET))


def _leads_out(cause: BlameCause) -> bool:
    """Whether it ends at nothing that this process knows of, or at a lock that another one has."""
    return cause.kind == "unexplained" or (cause.family == "taken" and cause.kind == "peer")

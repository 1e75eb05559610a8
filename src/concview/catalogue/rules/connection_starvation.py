"""Threads queue for a connection, because there are few and they are kept for long.

What it sees:
    Three threads or more that wait, several at a time, until another one gives back what it took out of a queue or of
    a library's connection pool; or that are blocked on one and the same connection.

Why it hurts:
    No more threads make progress than there are connections, however many threads the program has. All others also wait
    for what a thread does while it keeps a connection without using it (rendering, another service, a commit that comes
    late).

How it is measured:
    The mean number of threads that wait at one checkout, on the lower end of the 95 % interval. A checkout is a get()
    from a queue into which the same function puts the same thing back (inferred from the source), or the wait inside a
    known library's pool: SQLAlchemy, psycopg, urllib3, redis, PyMongo, HTTPX, DBUtils. Who has a library's connection
    is inferred: threads that use it inside the library, or are at a later line of the same function. The same holds
    for whatever a `with` block asks for in its head and waits to be notified for: a hand-written pool. Of one
    descriptor: the threads beyond the first that are blocked on the same connected socket, where there are three at
    least. Thresholds 0.5 and 1.5 [H]: on the demo pair 6.0 (bad) and up to 0.4 (fixed, whose workers begin in step);
    of ten threads with two connections of SQLAlchemy, psycopg, urllib3, redis, HTTPX and DBUtils 6.7 to 8.0.

Fix:
    Take it late and give it back early; then as many connections as are in use at once (Little's law).

        with connections.one() as db: rows = db.query(...)
        page = render(rows)                   # nobody waits for this

When it is fine:
    The database or service allows no more connections: then the queue protects it, and belongs where it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from concview.analysis.known_places import lent, pool_asked
from concview.analysis.locks import sweep
from concview.analysis.records import Run
from concview.analysis.second import has_one
from concview.analysis.window import Slice, ThreadWindow, WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd, _pools
from concview.catalogue.rules._kinds import CONNECTED
from concview.model import Concern, Confidence, Frame, Site, Stack, State, WaitKind
from concview.source.uses import Uses
from concview.text import percent

MIN_THREADS = 3
#: Files that are parsed for one finding.
_FILES = 8
#: Calls that use the connection; waiting in poll for it to become ready (a timeout is set) is the same.
_READS = frozenset({"read", "readv", "recvfrom", "recvmsg", "write", "writev", "sendto", "sendmsg", "poll", "ppoll"})


@dataclass(slots=True)
class _Checkout:
    """What is waited for, with who waits and who has one."""

    name: str
    frame: Frame | None  #: the user's line that waits
    kind: str  #: 'queue', 'library', 'descriptor', or 'block': asked for in the head of a `with` block
    one_request: bool = False  #: of a library's pool, and nobody keeps it for longer
    waits: list[tuple[ThreadWindow, Slice]] = field(default_factory=list)
    kept: list[tuple[ThreadWindow, Slice]] = field(default_factory=list)


class ConnectionStarvation:
    id: ClassVar[str] = "connection-starvation"
    title: ClassVar[str] = "Threads queue for a connection"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(0.5, 1.5, "waiters", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of threads that wait for one"
    concern: ClassVar[Concern] = Concern.GIVER
    task_twin: ClassVar[str] = "async-pool-exhausted"

    def observe(self, window: Window) -> Iterable[Observation]:
        for key, one in _checkouts(window).items():
            tids = {t.tid for t, _ in one.waits}
            if len(tids) >= MIN_THREADS and not all(window.history.depths.in_vain(tid) for tid in tids):
                yield self._one(window, key, one)

    def _one(self, window: Window, key: str, one: _Checkout) -> Observation:
        span = max(1, window.end_ns - window.start_ns)
        # On one connection a reader and a writer may well be blocked at once; of three, all but one wait their turn.
        crowd, least = (1, MIN_THREADS) if one.kind == "descriptor" else (0, 1)
        slices = _crowd.lock_slices(one.waits)
        waiting = sum((n - crowd) * (end - start) for start, end, n in sweep(slices) if n >= least)
        mean = waiting / span
        most = max((n - crowd for _, _, n in sweep(slices)), default=0)
        episodes = _crowd.episodes(one.waits)
        stuck = len(evidence.lasting(window, ((t.tid, p.run) for t, p in one.waits)))
        waiters = _crowd.by_time(one.waits)
        keepers = _crowd.by_time(one.kept)
        meanwhile = _crowd.doing(one.kept)
        doing, part, stack = meanwhile.words, meanwhile.share, meanwhile.stack
        # Of a library's pool it is inferred who has one, and so not how many there are.
        size = (
            max((n for _, _, n in sweep(_crowd.lock_slices(one.kept))), default=0)
            if one.kind in ("queue", "descriptor")
            else 0
        )
        where = evidence.frame_spot(one.frame)
        names = evidence.who(window, waiters)
        summary = f"{evidence.waiting(names, mean, f'for {one.name} in {where}')}, at most {most} at once"
        if size:
            summary += f"; at most {size} have one at a time"
        if doing and size:
            summary += f", and are {doing} for {percent(part)} of the time they keep it"
        elif doing:
            at_a_time = sum(p.ns for _, p in one.kept) / span
            summary += (
                f"; {evidence.who(window, keepers)} {'seems' if len(keepers) == 1 else 'seem'} to have one in turn"
            )
            summary += f", {at_a_time:.1f} at a time, mostly {doing} ({percent(part)} of that time)"
        second = _second(window, one) if stuck else 0
        if second:
            summary += (
                f"; {second} of them {'has one and waits' if second == 1 else 'have one and wait'} for a second one"
            )
        stacks = meanwhile.shown("holder")
        for tid in waiters[:3]:
            thread = next(t for t, _ in one.waits if t.tid == tid)
            blocked = evidence.heaviest((p.run.stack, p.ns) for t, p in one.waits if t.tid == tid)
            note = f"waited {percent(sum(p.ns for t, p in one.waits if t.tid == tid) / span)} of the time"
            stacks += evidence.shown("waiter", tid, thread.name, blocked, note)
        return Observation(
            subject=key,
            value=mean,
            lower=evidence.lower_waiters(window, mean, len(waiters), episodes, stuck),
            lasting=stuck,
            samples=max(window.samples, evidence.samples_in(window, waiting)),
            episodes=episodes,
            confidence=Confidence.INFERRED if one.kind in ("queue", "block") else Confidence.EXACT,
            label=one.name,
            title=f"{evidence.at_once(mean, len(waiters), stuck, 'queues', 'queue')} for {one.name}",
            summary=summary + ".",
            fix=_HAND_ON if second else _fix(one),
            gain=_gain(mean, size, part, doing, one.one_request),
            check_next=(
                "How long does the other side take to answer, and since when?"
                if one.one_request
                else f"Must it be kept at {evidence.frame_spot(stack.user_leaf)}?"
                if stack is not None
                else f"Who has one meanwhile, and for how long? See what is done between {where} and giving it back."
            ),
            where=evidence.places(_waiting_stack(one), stack),
            threads=(*waiters, *(t for t in keepers if t not in waiters)),
            stacks=stacks,
            explains=(("lock-contention", "*"),) if one.kind == "library" else (),
            needs="those who have one to get a CPU: see cpu-starvation" if _starved(one, doing, part) else "",
        )


_HAND_ON = (
    "Hand the connection on to what needs one, instead of taking a second one while the first is kept: with as many "
    "threads as connections, each has one and nobody gets a second.\n\n"
    "    with pool.connection() as db:\n"
    "        audit(db, what)            # not: a function that takes one itself\n\n"
    "A larger pool only moves the number of threads at which it happens."
)


def _second(window: Window, one: _Checkout) -> int:
    """Threads that have one already."""
    if one.kind not in ("library", "block"):
        return 0
    source = Uses(window.lines_of, _FILES).file
    return len({t.tid for t, p in one.waits if has_one(p.run.stack, source)})


# ---------------------------------------------------------------- who waits, who has one

#: Whether it waits or has one, and of what.
_Relation = tuple[bool, tuple[tuple[str, _Checkout], ...]]


def _checkouts(window: Window) -> dict[str, _Checkout]:
    found: dict[str, _Checkout] = {}
    lent: dict[int, tuple[Site, ...]] = {}  # by stack

    def wanted(profile: WaitProfile) -> _Relation | None:
        known = _of(profile)
        if known is not None:
            return True, (known,)
        stack = profile.stack
        sites = lent.get(id(stack))
        if sites is None:
            kept = (f.checkout for f in stack.frames if f.checkout is not None and f.checkout.how == "kept")
            sites = lent[id(stack)] = tuple(kept)
        return (False, tuple((s.key, _Checkout(s.expression, None, "queue")) for s in sites)) if sites else None

    for thread in window.threads:
        for slice_, (waits, those) in thread.slices_of(wanted):
            for key, fresh in those:
                one = found.setdefault(key, fresh)
                (one.waits if waits else one.kept).append((thread, slice_))
    for one in found.values():
        one.frame = next((_asking(one, p) for _, p in one.waits), None)
        if one.kind in ("library", "block"):
            one.kept = _beyond(window, one)
    return found


def _beyond(window: Window, one: _Checkout) -> list[tuple[ThreadWindow, Slice]]:
    """Slices of threads that seem to have one of a library's connections: they use it inside the library, or have come
    past the line at which others wait for one."""
    library = _library(one) if one.kind == "library" else ""
    lines: dict[tuple[str, str], int] = {}
    for _, slice_ in one.waits:
        frame = _asking(one, slice_)
        if frame is not None and _pools.keeps(library, slice_.run.stack):
            place = (frame.file, frame.function)
            lines[place] = min(frame.line, lines.get(place, frame.line))
    one.one_request = library in _pools.USED and not lines

    def has_one(profile: WaitProfile) -> bool | None:
        frames = profile.stack.frames
        if any(pool_asked(f) for f in frames) or profile.classification.via == "pool":
            return None
        if library and any(_pools.uses(library, f) for f in frames):
            return True
        return True if any(f.line > lines.get((f.file, f.function), f.line) for f in frames) else None

    return [(thread, slice_) for thread in window.threads for slice_, _ in thread.slices_of(has_one)]


def _library(one: _Checkout) -> str:
    return one.name.removeprefix("a connection of ").removesuffix("'s pool")


def subject_of(run: Run) -> str:
    """The subject under which what a thread waits for is told here; '' it is another matter."""
    found = _of(WaitProfile(run.stack, run.wait, run.classification, run.state))
    return found[0] if found is not None else ""


def _of(one: WaitProfile) -> tuple[str, _Checkout] | None:
    """What a blocked thread waits to be given; None for every other wait."""
    wait = one.wait
    if wait.kind is WaitKind.FUTEX:
        wanted = lent(one.stack)
        if wanted is None:
            return None
        name, frame = wanted
        if library := pool_asked(frame):
            return f"library {library}", _Checkout(name, None, "library")
        if one.classification.via != "pool":
            return None
        if frame.checkout is not None and frame.checkout.how == "get":
            return frame.checkout.key, _Checkout(name, frame, "queue")
        return f"{frame.file}::{name}", _Checkout(name, frame, "block")
    peer = wait.peer
    if one.state is not State.IO or wait.fd < 0 or peer is None or wait.syscall not in _READS:
        return None
    if peer.kind not in CONNECTED or peer.status != "ESTABLISHED":
        return None  # a datagram socket or a listening one may well serve many threads; a stream cannot
    name = f"one connection ({peer.shown}, fd {wait.fd})"
    return name, _Checkout(name, None, "descriptor")


def _user(slice_: Slice) -> Frame | None:
    return slice_.run.stack.user_leaf


def _asking(one: _Checkout, slice_: Slice) -> Frame | None:
    """The program's line that asks: of a block it may be outside of the pool's own code."""
    wanted = lent(slice_.run.stack) if one.kind in ("block", "queue") else None
    return wanted[1] if wanted is not None else _user(slice_)


def _waiting_stack(one: _Checkout) -> Stack | None:
    return evidence.heaviest((p.run.stack, p.ns) for _, p in one.waits)


def _starved(one: _Checkout, doing: str, part: float) -> bool:
    """They keep it because they are in the run queue with it."""
    if part < 0.5 or doing not in (_crowd.WORDS[State.RUNNING], _crowd.WORDS[State.RUNNABLE]):
        return False
    keepers = {t.tid: t for t, _ in one.kept}.values()
    return sum(t.nanoseconds[State.RUNNABLE] for t in keepers) > sum(t.nanoseconds[State.RUNNING] for t in keepers)


# ---------------------------------------------------------------- words


def _fix(one: _Checkout) -> str:
    if one.kind == "descriptor":
        return (
            "Give every thread a connection of its own, or take one out of a pool for each request.\n\n"
            "    db = pool.get()            # queue.Queue filled with connections\n"
            "    try: rows = query(db)\n"
            "    finally: pool.put(db)"
        )
    if one.kind == "block":
        return (
            "Enter the block late and leave it early; nobody should wait for what is done without the thing lent.\n\n"
            f"    with {one.name} as it: rows = query(it)\n"
            "    page = render(rows)                   # after the block\n\n"
            "If it is in use all the time it is lent, there are too few: in use at once = requests a second x seconds "
            "each."
        )
    if one.kind == "library":
        return _pools.fix(_library(one), one.one_request)
    name = one.name
    return (
        "Take it late and give it back early; nobody should wait for what is done without it.\n\n"
        f"    db = {name}.get()\n"
        "    try: rows = query(db)\n"
        f"    finally: {name}.put(db)      # before the rows are worked on\n\n"
        "If it is in use all the time it is kept, there are too few: in use at once = requests a second x seconds each."
    )


def _gain(mean: float, size: int, part: float, doing: str, one_request: bool) -> str:
    if not size:
        more = max(1, round(mean))
        text = f"With {more} more of them nobody would wait, if the database or service allows that many"
        if doing and part >= 0.5 and not one_request:
            text += f"; given back before {percent(part)} of the time is spent {doing}, fewer are needed"
        return text + "."
    text = (
        f"With {size + round(mean)} of them instead of {size} nobody would wait, if the database or service allows "
        "that many"
    )
    if doing and part >= 0.5:
        text += f"; given back before {percent(part)} of the time is spent {doing}, {size} serve more"
    return text + "."


RULE = ConnectionStarvation()

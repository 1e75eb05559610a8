"""A round trip for every small item.

What it sees:
    A thread that spends most of its time in exchanges with one peer, from one function, hundreds of them a second:
    send a little, wait for the answer, send the next. Where drivers tell what they execute, the same statement again
    and again: a query for each row of another one ("N+1").

Why it hurts:
    Each exchange pays for the way there and back, two system calls, two switches of threads and the other side's
    start-up, however little is sent. A thousand rows in one statement pay for it once.

How it is measured:
    Per thread, the time on the lines of one of the user's functions while it talks to one peer over a socket (blocked
    or running), as a share of the time in which the thread is not idle or asleep, on the lower end of the 95 %
    interval. It counts where the thread blocks at least 500 times a second of that time: each exchange blocks once,
    most of them do; 100 times a second where six tenths of the time in statements are those of one and the same
    [H]. One that sleeps after every few exchanges is paced by that. Thresholds 0.6 and 0.8 [H]: on the demo
    pair 0.98 to 1.0 at 2,000 and more exchanges a second (bad), 30 a second (fixed).

Fix:
    Send many things at once, and wait once.

        cursor.executemany("INSERT INTO t VALUES (?, ?)", rows)   # or one statement with many rows, COPY
        with redis.pipeline() as pipe: ...                        # answers are read together at the end

    Where the next question depends on the last answer: ask in one query, or several threads at once.

    The same query for each row of another one:

        SELECT ... WHERE id = ANY(%s)                             # all at once; or a join
        Order.objects.select_related("customer")                  # Django: a join; prefetch_related: one query more
        select(Order).options(selectinload(Order.customer))       # SQLAlchemy

When it is fine:
    A nightly job that may take its time. A cursor that is read, which is not counted; a server that answers one
    client's requests as they come: then it is the client that could send more at a time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from concview.analysis.rates import switches_per_s
from concview.analysis.statistics import lower_share
from concview.analysis.window import ThreadWindow, WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import CONNECTED
from concview.model import Confidence, Frame, Peer, State, WorkKind
from concview.text import count, duration, percent

#: Exchanges per second of the time spent on them: 2 ms each.
MIN_RATE = 500.0
#: The same where they are the same statement; what share of those that were seen (which is one of time: the query whose
#: rows are gone through takes longer than one for a single row), and how many, make it the same.
REPEATED_RATE, SAME, SEEN = 100.0, 0.6, 4
#: A thread that rests between its exchanges is paced by something else: 0.35 in the fixed demo of gil-convoy.
MIN_ACTIVE = 0.6
#: So is one that goes to sleep so often, per sample of its active time, however long its exchanges take on a busy
#: machine: 0.3 there; a burst with a rest after it is 0.01 to 0.05.
MAX_NAPS = 0.15
#: So much of the I/O of the function is with one peer.
ONE_PEER = 0.9
#: Lines that do more than read must have this share of the time, or a result is being read. One that sends is enough
#: whatever its share: where the other side takes long, all the time is spent on the answer.
MIN_ASKING = 0.02
_ACTIVE = (State.RUNNING, State.RUNNABLE, State.GIL, State.LOCK, State.IO)
_SENDING = re.compile(r"\b(send\w*|write\w*|execute\w*|request|query|post|put|set|delete)\(")
#: A whole exchange on one line.
_BOTH = re.compile(r"\bexecute\w*\(.*\)\s*\.\s*(fetch\w*|scalar\w*|one\w*|first|all|mappings)\(")
_READING = re.compile(r"\b(fetch\w*|read\w*|recv\w*|next|iter\w*)\(|^(async )?for\b.*\bin\b")


_ONE_MORE = ": a query for each row of another one, it seems (N+1)."
_ASK_ONCE = (
    "Ask for all of them at once: by a join, or with all the keys in one query.\n\n"
    "    SELECT ... WHERE id = ANY(%s)                          # IN (...) where arrays are not known\n"
    "    Order.objects.select_related('customer')               # Django; prefetch_related for many\n"
    "    select(Order).options(selectinload(Order.customer))    # SQLAlchemy"
)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One thread and the function from which it talks to one peer."""

    thread: ThreadWindow
    line: Frame
    peer: Peer
    share: float  #: of its active time
    active_s: float
    rate: float  #: exchanges per second of that
    episodes: int
    statement: str = ""  #: that nearly all of them are, as the driver names it; '' they differ, or are not known


class UnbatchedIo:
    id: ClassVar[str] = "unbatched-io"
    title: ClassVar[str] = "A round trip for every small item"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.6, 0.8, "share of the active time", "[H] calibrated on the demo pair"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "peers", "counters")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "small exchanges with one peer"

    def observe(self, window: Window) -> Iterable[Observation]:
        found: dict[tuple[str, str, str], list[_Exchange]] = defaultdict(list)
        statements = _statements(window)
        for thread in window.threads:
            one = _exchange(thread, window.tick_ns, statements.get(thread.tid, ""))
            if one is not None:
                found[one.line.file, one.line.function, one.peer.name].append(one)
        for exchanges in found.values():
            yield self._one(window, exchanges)

    def _one(self, window: Window, exchanges: list[_Exchange]) -> Observation:
        active = sum(e.active_s for e in exchanges)
        share = sum(e.share * e.active_s for e in exchanges) / active
        rate = sum(e.rate * e.active_s for e in exchanges) / window.seconds
        each = share * active / max(1.0, rate * window.seconds)
        samples = evidence.samples_in(window, active * 1e9)
        episodes = sum(e.episodes for e in exchanges)
        tids = tuple(e.thread.tid for e in exchanges)
        first = max(exchanges, key=lambda e: e.active_s)
        peer = first.peer.shown + (f" ({first.peer.known_as})" if first.peer.known_as else "")
        who = evidence.who(window, tids)
        same = {e.statement for e in exchanges}
        statement = same.pop() if len(same) == 1 else ""
        stacks = [evidence.heaviest_in(e.thread.wait_profiles, State.IO) for e in exchanges[:3]]
        return Observation(
            subject=f"{first.line.file}:{first.line.function}:{first.peer.name}",
            value=share,
            lower=lower_share(share, samples, episodes),
            samples=samples,
            episodes=episodes,
            confidence=Confidence.STATISTICAL,
            label=peer,
            title=(
                f"The same query {count(rate)} times a second, for one row after the other"
                if statement
                else f"{count(rate)} exchanges a second with {peer}, one by one"
            ),
            summary=(
                f"{who} {'spends' if len(tids) == 1 else 'spend'} {percent(share)} of the active time in at least "
                f"{count(rate)} exchanges a second with {peer}, {duration(each)} each, from "
                f"{evidence.frame_spot(first.line)}"
                + (f" ({first.line.text})." if first.line.text else ".")
                + (f" Nearly all of them are {statement}" + _ONE_MORE if statement else "")
            ),
            fix=_ASK_ONCE if statement else "",
            gain=(
                f"Nearly {duration(each)} for every exchange that is saved: with 100 things in each, up to "
                f"{percent(share * 0.99)} of the active time, if the other side's own work for each is small."
            ),
            check_next=f"Does {peer} take many at once: executemany, COPY, a pipeline, a bulk request?",
            where=evidence.places(*stacks),
            threads=tids,
            stacks=tuple(
                s
                for e, stack in zip(exchanges, stacks, strict=False)
                for s in evidence.shown(
                    "exchanges", e.thread.tid, e.thread.name, stack, f"{count(e.rate)} a second of its active time"
                )
            ),
            explains=(
                (("context-switch-storm", "*"),) if rate >= 0.25 * (switches_per_s(window.buckets) or 0.0) else ()
            ),
        )


def _statements(window: Window) -> dict[int, str]:
    """Thread -> the one query that it was seen to execute again and again."""
    seen: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for report, _, _ in window.history.work.between(window.start_ns, window.end_ns):
        for piece in report.pieces:
            if piece.label.kind is WorkKind.QUERY and not piece.label.missing:  # a template, without its values
                for tid in piece.threads:
                    seen[tid][piece.label.name] += 1
    found: dict[int, str] = {}
    for tid, names in seen.items():
        name, times = max(names.items(), key=lambda pair: pair[1])
        asks = name[:7].upper() == "SELECT "  # many rows that are written one by one are no N+1: the rule's own advice
        if asks and times >= SEEN and times >= SAME * sum(names.values()):
            found[tid] = name
    return found


def _exchange(thread: ThreadWindow, tick_ns: float, statement: str = "") -> _Exchange | None:
    """What the thread exchanges with one peer; None when it does something else."""
    wall = sum(thread.nanoseconds) / 1e9
    active = thread.share(*_ACTIVE)
    if wall <= 0 or active < MIN_ACTIVE:
        return None
    if thread.episodes(State.SLEEP) > MAX_NAPS * active * wall * 1e9 / tick_ns:
        return None
    if thread.share(State.IO, State.RUNNABLE) < 0.2 * active:
        return None
    active_s = active * wall
    rate = sum(b.voluntary for b in thread.buckets if b.voluntary > 0) / active_s
    if rate < (REPEATED_RATE if statement else MIN_RATE):
        return None
    wait_profiles = [c for c in thread.wait_profiles if c.state in _ACTIVE]
    per: dict[tuple[str, str], list[WaitProfile]] = defaultdict(list)
    for one in wait_profiles:
        leaf = one.stack.user_leaf
        if leaf is not None and leaf.origin == "user":
            per[leaf.file, leaf.function].append(one)
    if not per:
        return None
    own = max(per.values(), key=lambda group: sum(c.ns for c in group))
    peer = _peer(own)
    lines: dict[Frame, int] = defaultdict(int)
    for one in own:
        leaf = one.stack.user_leaf
        assert leaf is not None
        lines[leaf] += one.ns
    spent = sum(lines.values())
    asking = {f: ns for f, ns in lines.items() if _BOTH.search(f.text) or not _READING.search(f.text)}
    sends = any(_SENDING.search(f.text) for f in asking)
    if peer is None or (not sends and sum(asking.values()) < MIN_ASKING * spent):
        return None
    share = spent / sum(c.ns for c in wait_profiles)
    line = max(lines, key=lines.__getitem__)
    return _Exchange(thread, line, peer, share, active_s, rate, thread.episodes(State.IO), statement)


def _peer(wait_profiles: list[WaitProfile]) -> Peer | None:
    """The one peer on a socket with which nearly all of the I/O is."""
    per: dict[tuple[str, str], int] = defaultdict(int)
    peers: dict[tuple[str, str], Peer] = {}
    for one in wait_profiles:
        peer = one.wait.peer
        if one.state is State.IO and peer is not None:
            per[peer.kind, peer.name] += one.ns
            peers[peer.kind, peer.name] = peer
    if not per:
        return None
    most = max(per, key=per.__getitem__)
    return peers[most] if most[0] in CONNECTED and per[most] >= ONE_PEER * sum(per.values()) else None


RULE = UnbatchedIo()

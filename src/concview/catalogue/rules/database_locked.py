"""Threads wait for SQLite's lock: another connection is in a transaction that writes.

What it sees:
    Threads inside execute() or commit() that sleep and try again, as SQLite does while another connection has the
    database's one lock for writing.

Why it hurts:
    SQLite has one writer at a time. A transaction that stays open across slow work keeps all others from writing, and
    they do not queue: each sleeps up to 100 ms and tries again, so the lock goes to whoever asks at the right moment,
    and some wait until their timeout ends in "database is locked".

How it is measured:
    The mean number of threads that sleep inside SQLite, told from time.sleep() by the kernel's clock, on the lower end
    of the 95 % interval; threads that stand there for five seconds are counted, not estimated. Who is in a transaction
    is read from SQLite's own connections, or of another process from the kernel's table; else it is inferred: threads
    in functions that use a database, and that do something else while others wait. Thresholds 0.5 and 1.5 [H]: demo
    pair 2.9 to 3.0 (bad), up to 0.1 (fixed).

Fix:
    Do the slow work before the transaction begins, and keep it short.

        rows = prepare()                                  # nobody waits for this
        with db: db.executemany("insert into t values (?)", rows)

    journal_mode=wal lets readers go on meanwhile; a single thread that writes for all (a queue) ends the waiting.

When it is fine:
    A nightly job that has the database for itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.window import WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _crowd
from concview.catalogue.rules._crowd import Crowd, Slices
from concview.model import Concern, Confidence, FileLocks
from concview.text import percent

#: Calls by which a transaction begins, goes on or ends.
_USES = (".execute", ".commit(", ".begin(")


class DatabaseLocked:
    id: ClassVar[str] = "database-locked"
    title: ClassVar[str] = "Threads wait for SQLite's lock"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(0.5, 1.5, "waiters", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of threads that wait to write"
    concern: ClassVar[Concern] = Concern.GIVER

    def observe(self, window: Window) -> Iterable[Observation]:
        for crowd in _crowd.crowds(window, _wanted):
            crowd.polls = True
            yield _one(window, crowd)


def _wanted(profile: WaitProfile) -> tuple[str, str] | None:
    # Which database a sleeping thread wants is not in its system call: those of one process are taken as one.
    return ("sqlite", "the database") if profile.classification.via == "database" else None


def _inside(crowd: Crowd) -> Slices:
    """What threads do that may be in a transaction while others wait: in functions that use a database, and not waiting
    for the lock themselves. Those count that were there for most of the time in which somebody waited."""
    window = crowd.window
    waiting = {id(p.run) for _, p in crowd.waits}
    places = {
        (f.file, f.function)
        for t in window.threads
        for p in t.wait_profiles
        for f in p.stack.frames
        if f.origin == "user" and any(call in f.text for call in _USES)
    }

    def uses(profile: WaitProfile) -> bool | None:
        if profile.classification.via == "database":
            return None
        return True if any((f.file, f.function) in places for f in profile.stack.frames) else None

    kept = [(t, s) for t in window.threads for s, _ in t.slices_of(uses) if id(s.run) not in waiting]
    spans = evidence.joined([(s.start_ns, s.end_ns) for _, s in crowd.waits])
    shares: dict[int, int] = defaultdict(int)
    for thread, slice_ in kept:
        shares[thread.tid] += sum(max(0, min(end, slice_.end_ns) - max(start, slice_.start_ns)) for start, end in spans)
    most = max(shares.values(), default=0)
    return [(t, s) for t, s in kept if shares[t.tid] * 2 >= most > 0]


def _own(window: Window) -> int:
    hello = window.history.hello
    return hello.target.pid if hello is not None else 0


def _one(window: Window, crowd: Crowd) -> Observation:
    known = [
        lock
        for report in window.history.relations.reports(FileLocks, window.start_ns, window.end_ns)
        for lock in report.locks
        if lock.kind == "SQLite" and set(lock.waiters) & set(crowd.tids)
    ]
    names = list(dict.fromkeys(lock.path.rpartition("/")[2] for lock in known))
    name = names[0] if len(names) == 1 else crowd.name
    inside = [u for lock in known[-1:] for u in lock.users if u.tid not in lock.waiters]
    turns = len({u.tid for lock in known for u in lock.users})
    elsewhere = [lock for lock in known[-1:] if lock.holder and lock.holder != _own(window)]
    kept = _inside(crowd)
    meanwhile = _crowd.doing(kept)
    owners = list(dict.fromkeys(r.tid for r in inside)) or _crowd.by_time(kept)
    summary = crowd.waiting(f"for the lock of {name} in {crowd.spot}")
    if elsewhere:
        summary += f"; process {elsewhere[0].holder_name or '?'} (pid {elsewhere[0].holder}) has it"
    elif inside and turns == 1:
        place = evidence.spot(inside[0].file, inside[0].line, inside[0].function)
        summary += f"; {evidence.who(window, owners)} is in a transaction, now at {place}"
    elif owners and meanwhile.words:
        seem = "seems" if len(owners) == 1 else "seem"
        summary += f"; {evidence.who(window, owners)} {seem} to have it in turn, mostly {meanwhile.words} "
        summary += f"({percent(meanwhile.share)})"
    else:
        summary += "; who is in a transaction was not seen"
    return replace(
        crowd.in_turn(Confidence.EXACT, owners, meanwhile),
        label=name,
        title=f"{crowd.at_once('waits', 'wait')} for SQLite's lock",
        summary=summary + ".",
        gain="What the transaction's owner does that is no writing could overlap with the others' work.",
        check_next="Where does a transaction begin (the first insert does it), and what is done until its commit?",
        stacks=meanwhile.shown("writer") + crowd.evidence(),
    )


RULE = DatabaseLocked()

"""A lock is held while its holder waits for I/O, so everybody else waits for that I/O too.

What it sees:
    Threads wait for a lock whose holder is itself blocked: in a system call on a socket, pipe or file, on a child
    process, or asleep.

Why it hurts:
    A lock turns the holder's waiting into everybody's waiting. Any number of workers together does the work of one:
    throughput is one over the latency of the peer, and a slow answer stops the whole pool.

How it is measured:
    While at least one thread waits for the lock, the share of the holders' sampled time that they spend in I/O or
    asleep, on the lower end of the 95 % interval. Held locks are read from the holder's frames, or inferred from the
    source around its current line where memory cannot be read. Thresholds 20 % and 50 % [H]: on the demo pair 97 %
    to 99 % (bad) and no waiters (fixed). A lock with fewer than 0.1 waiters on average is left alone, below 0.21 it
    is INFO at most.

Fix:
    Do the I/O outside the lock; take the lock only to look and to store.

        with lock: row = rows.get(key)
        if row is None: row = fetch(key)      # nobody waits for this
        with lock: rows[key] = row

    To fetch every key only once, keep a lock or a Future per key (single flight) instead of one lock for all.

When it is fine:
    The lock exists to guard that very descriptor, say a connection whose protocol allows one request at a time. The
    finding says so when every holder used the same descriptor; more connections then help, a shorter section does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.lock_stats import named_waits
from concview.analysis.locks import SHARED_KINDS, LockSlice, LockWindow
from concview.analysis.statistics import lower_share
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import State, Wait, WaitKind
from concview.text import duration, percent, plural

BLOCKED = frozenset({State.IO, State.SLEEP})
#: Mean waiters below which the lock is left alone, and below which it is worth INFO at most.
MIN_WAITERS = 0.1
INFO_WAITERS = 0.21
#: The holder must have been seen for this part of the time in which somebody waited.
MIN_SEEN = 0.3


class LockHeldAcrossIo:
    id: ClassVar[str] = "lock-held-across-io"
    title: ClassVar[str] = "A lock is held across I/O"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(0.2, 0.5, "share of the hold time", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "the holder in I/O or asleep while others wait"
    task_twin: ClassVar[str] = "async-lock-held-across-await"

    def observe(self, window: Window) -> Iterable[Observation]:
        for lock in window.locks.values():
            if lock.waits and lock.kind not in SHARED_KINDS and not lock.ambiguous:
                yield from self._one(window, lock)

    def _one(self, window: Window, lock: LockWindow) -> Iterable[Observation]:
        mean = lock.waiters_mean
        if mean < MIN_WAITERS:
            return
        seen = sum(ns for _, ns in lock.contended_as)
        blocked = [(hold, ns) for hold, ns in lock.contended_as if hold.run.state in BLOCKED]
        if not blocked or seen < MIN_SEEN * lock.contended_ns:
            return
        share = sum(ns for _, ns in blocked) / seen
        each = [(hold, ns) for hold, ns in lock.contended_holds() if hold.run.state in BLOCKED]
        samples, episodes = evidence.samples_in(window, lock.wait_ns), lock.episodes
        wait = _main_wait(each)
        holders = _by_time(blocked)
        name = evidence.lock_name(lock)
        holder, stack = evidence.main_hold(blocked)
        own = _guarded(blocked)
        waiters = lock.waiters()
        summary = (
            evidence.waiting(evidence.who(window, waiters), mean, f"for {name} ({evidence.lock_spot(lock)})")
            + f"; its holder spends {percent(share)} of the hold time {evidence.doing(wait)}."
        )
        if own:
            summary += f" Every holder waits on the same descriptor ({own}): the lock seems to guard that connection."
        stuck = len(evidence.lasting(window, lock.still_waiting))
        if stuck and evidence.lasting(window, ((hold.tid, hold.run) for hold, _ in each)):
            since = min(hold.run.began_ns for hold, _ in each if not hold.run.end_ns)
            summary += f" Neither has moved for {duration((window.end_ns - since) / 1e9)}."
        yield Observation(
            subject=lock.key,
            value=share,
            lower=share if stuck else lower_share(share, samples, episodes),
            lasting=stuck,
            samples=samples,
            episodes=episodes,
            confidence=lock.confidence,
            label=name,
            title=f"{name} is held across I/O" if wait.kind is not WaitKind.SLEEP else f"{name} is held while sleeping",
            summary=summary,
            fix=_fix(name, own),
            gain=_gain(lock, share),
            check_next=(
                f"Is everything between taking and releasing {name} needed under it? Start at "
                f"{evidence.frame_spot(stack.user_leaf if stack else None)}."
            ),
            where=evidence.places(stack, evidence.waiter_stack(lock), first=lock.site),
            threads=(*holders, *(t for t in waiters if t not in holders)),
            stacks=evidence.shown("holder", holder, window.name(holder), stack, evidence.doing(wait))
            + evidence.waiter_stacks(window, lock),
            explains=(("lock-contention", lock.key),),
            severity_cap="info" if mean < INFO_WAITERS else "",
        )


def _by_time(blocked: list[tuple[LockSlice, int]]) -> list[int]:
    per: dict[int, int] = defaultdict(int)
    for hold, ns in blocked:
        per[hold.tid] += ns
    return sorted(per, key=lambda tid: -per[tid])


def _main_wait(blocked: list[tuple[LockSlice, int]]) -> Wait:
    """What the holders waited for longest; the same peer over many connections is one thing."""
    per: dict[str, int] = defaultdict(int)
    waits: dict[str, Wait] = {}
    said: dict[int, str] = {}  # by wait: there are few of them
    wait_of = named_waits(hold.run for hold, _ in blocked)
    for hold, ns in blocked:
        wait = wait_of(hold.run)
        words = said.get(id(wait)) or said.setdefault(id(wait), evidence.doing(wait))
        per[words] += ns
        waits[words] = wait
    return waits[max(per, key=per.__getitem__)]


def _guarded(blocked: list[tuple[LockSlice, int]]) -> str:
    """The one descriptor that several holders share; empty when there are more, or one holder only."""
    waits = {(hold.run.wait.fd, hold.run.wait.peer) for hold, _ in blocked}
    if len(waits) != 1 or len({hold.tid for hold, _ in blocked}) < 2:
        return ""
    fd, peer = next(iter(waits))
    return "" if fd < 0 else f"fd {fd}, {peer.shown}" if peer is not None else f"fd {fd}"


def _fix(name: str, own: str) -> str:
    if own:
        return (
            "The connection is what is scarce: give every worker its own, or keep a pool of them.\n\n"
            "    db = pool.get()           # queue.Queue filled with connections\n"
            "    try: rows = db.query(...)\n"
            "    finally: pool.put(db)"
        )
    return (
        f"Do the I/O outside {name}; take it only to look and to store.\n\n"
        f"    with {name}: row = rows.get(key)\n"
        f"    if row is None: row = fetch(key)      # nobody waits for this\n"
        f"    with {name}: rows[key] = row"
    )


def _gain(lock: LockWindow, share: float) -> str:
    workers = len({*lock.waiters()} | {h.tid for h in lock.holds})
    factor = min(float(workers), 1 / max(1 - share, 1 / workers)) if workers else 1.0
    if factor < 1.2:
        return ""
    return (
        f"{percent(share)} of the time that these {plural(workers, 'thread')} spend under the lock could overlap, if "
        "the other side answers several requests at once as fast as one."
    )


RULE = LockHeldAcrossIo()

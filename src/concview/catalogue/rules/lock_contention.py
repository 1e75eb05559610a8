"""Threads queue for a lock: it is held too long or needed too often.

What it sees:
    A lock for which, at a random moment, threads are waiting. A lock that is held nearly all the time while the
    process uses hardly more than one core serialises its workers: many threads do the work of one.

Why it hurts:
    What happens under the lock happens one at a time. If the lock is held for a share h of the time, the work cannot
    get more than 1/h times as fast, however many threads or cores are added (Amdahl's law).

How it is measured:
    Mean number of threads that wait for the lock, on the lower end of the 95 % interval; by Little's law that is the
    rate of acquisitions times the time each waits. Thresholds 0.21 and 1 [S: the load at which a queue becomes
    noticeable, and that of one thread lost for good; M: demo pair 5.5 to 6.5 bad, 0.0 fixed]. A lock held 95 % of the
    time in a process that runs on 1.2 cores or fewer is a warning from 0.5 waiters on.

Fix:
    Make the section shorter: take a snapshot under the lock and work on it outside.

        with lock: snapshot = state.copy()
        result = compute(snapshot)            # nobody waits for this

    Or divide the state (a lock per part), or let every thread collect on its own and merge at the end.

    Of a lock that processes share the other processes are seen only in so far as threads here wait for them:
    `check --tree` looks at all of them and names who has it.

When it is fine:
    Waiting at a condition, a barrier, a full queue or for a future is not contention for a lock, and not counted. Nor
    is a lock at which one thread alone was seen, and nobody with it: a worker parks there (trio and gevent do so)
    until somebody releases it who has work. Nor one that nobody gets at all, and nobody is seen with. A short burst at
    the start is no reason to change a design.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from concview.analysis.classify import BLOCKING_VIA
from concview.analysis.known_places import between_processes, serves_client
from concview.analysis.locks import SHARED_KINDS, LockWindow
from concview.analysis.records import Run
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import State
from concview.text import percent, plural

#: A lock held this much of the time, in a process on this many cores or fewer, serialises its workers...
SATURATED = 0.95
ONE_CORE_PERCENT = 120.0
#: ... and is a warning from so many waiters on.
SATURATED_WAITERS = 0.5
#: Of the time in which others wait, so much must be waiting for work; and what that is.
TURNS = 0.9
_FOR_WORK = frozenset({"accept", "select", "request", "work", "Queue.get", "SimpleQueue.get"})
_DOING = {
    State.RUNNING: "computing",
    State.RUNNABLE: "waiting for a CPU",
    State.GIL: "waiting for the GIL",
    State.LOCK: "waiting for another lock",
    State.IO: "in I/O",
    State.SLEEP: "asleep",
    State.IDLE: "waiting for another thread",
}


def _is_lock(run: Run) -> bool:
    """Not what a primitive has for those that wait to be told something."""
    return run.classification.via not in BLOCKING_VIA and not between_processes(run.stack)


class LockContention:
    id: ClassVar[str] = "lock-contention"
    title: ClassVar[str] = "Threads queue for a lock"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.21, 1.0, "waiters", "[S] queue length that becomes noticeable; [M] demo pair 6 and 0.0"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of waiting threads"
    task_twin: ClassVar[str] = "async-lock-held-across-await"

    def observe(self, window: Window) -> Iterable[Observation]:
        for lock in window.locks.values():
            if lock.kind in SHARED_KINDS or (lock.ambiguous and not lock.address):
                continue
            # A semaphore, a full queue or a barrier is waited for through a lock of its own: not this rule's business.
            real = sum(ns for run, ns in lock.waited_as if _is_lock(run))
            if real and real >= 0.5 * lock.wait_ns and not self._is_none(window, lock):
                yield self._one(window, lock)

    @staticmethod
    def _is_none(window: Window, lock: LockWindow) -> bool:
        return _parked(lock) or _in_turn(lock) or _stands(window, lock)

    def _one(self, window: Window, lock: LockWindow) -> Observation:
        mean, held = lock.waiters_mean, lock.held_share
        waiters = lock.waiters()
        holders = [] if lock.ambiguous else [tid for tid, _ in lock.holder_shares()]
        involved = [*waiters, *(t for t in holders if t not in waiters)]
        stuck = len(evidence.lasting(window, lock.still_waiting))
        lower = evidence.lower_waiters(window, mean, len(waiters), lock.episodes, stuck)
        cpu = window.cpu_percent
        name = evidence.lock_name(lock)
        kept = _kept(lock)
        # What other processes compute is not known here.
        serial = not kept.among and held >= SATURATED and cpu is not None and cpu <= ONE_CORE_PERCENT
        holds = [] if lock.ambiguous else lock.contended_as
        holder, stack = evidence.main_hold(holds)
        main, part = _main_state(lock)
        who = evidence.who(window, involved)
        summary = (
            evidence.waiting(who, mean, f"for {name}{kept.what} ({evidence.lock_spot(lock)})")
            + f", at most {lock.waiters_max} at once; it is held {percent(held)} of the time"
        )
        if lock.held_elsewhere:
            summary += f" ({percent(held * lock.held_elsewhere)} by other processes)"
        if main:
            summary += f", its holder mostly {main} ({percent(part)})"
        if serial:
            summary += f". It serialises {who}: the whole program uses {cpu:.0f} % of one core"
        return Observation(
            subject=lock.key,
            value=mean,
            lower=lower,
            samples=max(window.samples, evidence.samples_in(window, lock.wait_ns)),
            episodes=lock.episodes,
            lasting=stuck,
            confidence=lock.confidence,
            label=name,
            title=f"{kept.who} queue for {name}{kept.what}",
            summary=summary + ".",
            fix=kept.fix or _FIX.format(name=name),
            gain="" if kept.among else _gain(held, involved),
            check_next=(
                f"What in the section at {evidence.frame_spot(stack.user_leaf)} needs {name}?"
                if stack is not None
                else kept.next.format(name=name)
            ),
            where=evidence.places(stack, evidence.waiter_stack(lock), first=lock.site),
            threads=tuple(involved),
            stacks=evidence.shown("holder", holder, window.name(holder), stack, f"mostly {main}" if main else "")
            + evidence.waiter_stacks(window, lock),
            floor=75 if serial and lower >= SATURATED_WAITERS else 0,
        )


class _Kept(NamedTuple):
    """Among whom a lock is passed on, in words."""

    who: str
    what: str  #: behind its name
    among: bool  #: processes
    fix: str  #: '': that of a lock of one process
    next: str


_FIX = (
    "Hold {name} for less: take a snapshot under it and work on that outside.\n\n"
    "    with {name}: snapshot = state.copy()\n"
    "    result = compute(snapshot)            # nobody waits for this\n\n"
    "Or divide the state (a lock per part), or collect per thread and merge at the end."
)
_FIX_PROCESSES = (
    "Hold it for less: read and write under it what the processes share, and work outside.\n\n"
    "    with lock: mine = shared[:]\n"
    "    result = compute(mine)                # no process waits for this\n\n"
    "Or divide what is shared (a lock per part), or let each process collect on its own and merge at the end. A "
    "process that is killed while it has the lock never gives it back."
)
_NEXT = "Who holds {name}? The holder was not seen; look at the threads' stacks."
_NEXT_PROCESSES = (
    "Which process has {name}, and what does it do meanwhile? `concview check --tree PID`, with the PID of the process "
    "that started these, tells it under 'Waits across processes'."
)


def _kept(lock: LockWindow) -> _Kept:
    if lock.between_processes:
        what = f", a {lock.kind}" if lock.site.expression else ""
        return _Kept("Processes", what, True, _FIX_PROCESSES, _NEXT_PROCESSES)
    if 2 * sum(ns for run, ns in lock.waited_as if serves_client(run.stack)) > lock.wait_ns:
        return _Kept("Clients", ", which this Manager's process lends", True, _FIX_PROCESSES, _NEXT_PROCESSES)
    return _Kept("Threads", "", False, "", _NEXT)


def _parked(lock: LockWindow) -> bool:
    """Whether a single thread was ever seen at it, and nobody with it: the thread parks on a lock of its own, which
    whoever has work for it releases. It queues with nobody."""
    return not lock.holds and len(lock.waiters()) == 1


def _stands(window: Window, lock: LockWindow) -> bool:
    """Whether nobody was seen with it, and nobody got it: no queue moves there, and to hold it for less is no
    help. What those wait for is the verdict's to say."""
    return not lock.holds and set(lock.waiters()) <= set(evidence.lasting(window, lock.still_waiting))


def _in_turn(lock: LockWindow) -> bool:
    """Leader and followers: whoever has it waits for work (a connection, a request), in the very function in which the
    others wait for their turn to do the same. Nobody has anything to do."""
    holds = lock.contended_as
    whole = sum(ns for _, ns in holds)
    leading = [(h, ns) for h, ns in holds if h.run.state is State.IDLE and h.run.classification.via in _FOR_WORK]
    if not leading or sum(ns for _, ns in leading) < TURNS * whole:
        return False
    places = {(f.file, f.function) for h, _ in leading if (f := h.run.stack.user_leaf) is not None}
    return all((f := w.stack.user_leaf) is not None and (f.file, f.function) in places for w, _ in lock.waited_as)


def _main_state(lock: LockWindow) -> tuple[str, float]:
    """What the holders mostly do while others wait, and its share of the time they were seen."""
    if lock.ambiguous:
        return "", 0.0
    doing = lock.contended_hold_ns()
    whole = sum(doing.values())
    if not whole:
        return "", 0.0
    state = max(doing, key=doing.__getitem__)
    return _DOING.get(state, ""), doing[state] / whole


def _gain(held: float, involved: list[int]) -> str:
    if held <= 0:
        return ""
    cap = 1 / held
    if cap >= len(involved):
        return ""
    return (
        f"Held {percent(held)} of the time, the lock lets these {plural(len(involved), 'thread')} do at most {cap:.1f} "
        "times as much as now (Amdahl's law); half the time under it would double that."
    )


RULE = LockContention()

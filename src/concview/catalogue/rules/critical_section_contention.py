"""Threads of a build without a GIL queue for one list, dict or set.

What it sees:
    An object for whose own lock threads wait. Without a GIL every list, dict, set and many others have a lock in their
    head, which each operation that changes them takes for its time (a critical section); copying, sorting and joining
    take it for as long as they last.

Why it hurts:
    What is done with that one object happens one at a time, as under a lock of the program's, but no line of the
    program says so. Many threads that append to one list are slower than one.

How it is measured:
    Mean number of threads that wait for the object's lock, on the lower end of the 95 % interval. At which object a
    thread is parked is read. One that has not parked yet gives way to others and tries again, forty times; that it does
    is read, too, and the object is the one among the values of its frame whose lock somebody has (inferred). Thresholds
    0.21 and 1 [S: the load at which a queue becomes noticeable, and that of one thread lost for good, as for
    lock-contention; M: demo pair on 3.14.7, load 50: 0.5 to 0.9 bad, 0.04 fixed].

Fix:
    Let every thread work on an object of its own, and bring them together seldom.

        mine = []                          # of this thread alone: nobody waits for it
        for row in rows: mine.append(work(row))
        RESULTS.extend(mine)               # one operation instead of thousands

    Take copies seldom and hand them to everybody who wants one; divide a dict by a hash of its key.

When it is fine:
    A short burst, as when all threads hand in their results at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.classify import OBJECT_VIA
from concview.analysis.thread_window import WaitProfile
from concview.analysis.window import Slice, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, Stack, StackEvidence
from concview.text import duration, percent, with_article

#: What to do where many threads work on one object of that kind.
_FIXES = {
    "list": (
        "Let every thread collect in a list of its own, and add it to the shared one in one go.\n\n"
        "    mine = []                      # of this thread alone: nobody waits for it\n"
        "    for row in rows: mine.append(work(row))\n"
        "    {name}.extend(mine)"
    ),
    "dict": (
        "Give every thread a dict of its own and merge them seldom, or divide it by a hash of the key; copy it once "
        "for all that want a copy.\n\n"
        "    mine[key] += 1                 # of this thread alone: nobody waits for it\n"
        "    {name}.update(mine)            # now and then"
    ),
    "set": (
        "Let every thread collect in a set of its own, and unite them seldom.\n\n"
        "    mine.add(key)                  # of this thread alone: nobody waits for it\n"
        "    {name}.update(mine)"
    ),
}
_SHOWN = 3


class _Object:
    """One object that was waited for."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.waits: list[tuple[int, Slice]] = []
        self.users: dict[int, int] = defaultdict(int)  #: tid -> ns for which he was seen to have it while others waited

    @property
    def ns(self) -> int:
        return sum(s.end_ns - s.start_ns for _, s in self.waits)


class CriticalSectionContention:
    id: ClassVar[str] = "critical-section-contention"
    title: ClassVar[str] = "Threads queue for one object"
    group: ClassVar[str] = "Locks"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.21, 1.0, "waiters", "[S] queue length that becomes noticeable, and one thread lost for good"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of threads that wait for the object"

    def observe(self, window: Window) -> Iterable[Observation]:
        evidence.require_free_threading(window)
        objects: dict[int, _Object] = {}
        for thread in window.threads:
            for slice_, (address, kind, target) in thread.slices_of(_waits):
                one = objects.setdefault(address, _Object(kind))
                one.waits.append((thread.tid, slice_))
                if target:
                    one.users[target] += slice_.end_ns - slice_.start_ns
        for address, one in objects.items():
            yield self._one(window, address, one)

    def _one(self, window: Window, address: int, one: _Object) -> Observation:
        mean = one.ns / (window.end_ns - window.start_ns)
        per: dict[int, list[Slice]] = defaultdict(list)
        for tid, slice_ in one.waits:
            per[tid].append(slice_)
        waiters = sorted(per, key=lambda t: -sum(s.end_ns - s.start_ns for s in per[t]))
        users = sorted(one.users, key=lambda t: -one.users[t])
        involved = list(dict.fromkeys([*waiters, *users]))
        episodes = sum(_episodes(slices) for slices in per.values())
        stuck = len(evidence.lasting(window, ((tid, s.run) for tid, s in one.waits)))
        waits = evidence.heaviest((s.run.stack, s.end_ns - s.start_ns) for _, s in one.waits)
        works = evidence.heaviest(_while_waited(window, one))
        known = next((r.name for r in window.relations if r.address == address and r.name), "")
        what = f"the {one.kind} {known}" if known else f"one {one.kind}"
        seen = sum(one.users.values()) / one.ns
        stacks: tuple[StackEvidence, ...] = ()
        if users and works is not None:
            note = f"had it in {percent(one.users[users[0]] / one.ns)} of the waits"
            stacks += evidence.shown("user", users[0], window.name(users[0]), works, note)
        for tid in waiters[:_SHOWN]:
            waited = sum(s.end_ns - s.start_ns for s in per[tid]) / 1e9
            note = f"waited {duration(waited)} of the last {duration(window.seconds)}"
            stack = evidence.heaviest((s.run.stack, s.end_ns - s.start_ns) for s in per[tid])
            stacks += evidence.shown("waiter", tid, window.name(tid), stack, note)
        leaf = works.user_leaf if works is not None else None
        parked = sum(s.end_ns - s.start_ns for _, s in one.waits if s.run.wait.syscall == "futex")
        return Observation(
            subject=f"{one.kind} {address:#x}",
            value=mean,
            lower=evidence.lower_waiters(window, mean, len(waiters), episodes, stuck),
            samples=max(window.samples, evidence.samples_in(window, one.ns)),
            episodes=episodes,
            lasting=stuck,
            confidence=Confidence.EXACT if 2 * parked >= one.ns else Confidence.INFERRED,
            label=what,
            title=f"{evidence.at_once(mean, len(involved), stuck, 'queues', 'queue')} for {what}",
            summary=(
                evidence.waiting(evidence.who(window, involved), mean, f"for {what}")
                + f", mostly in {evidence.frame_spot(waits.user_leaf if waits is not None else None)}"
                + (
                    f"; who has it then is mostly in {evidence.frame_spot(leaf)} "
                    f"(seen in {percent(seen)} of the waits)."
                    if leaf is not None
                    else "."
                )
            ),
            fix=_FIXES.get(one.kind, "").format(name=known or "shared"),
            gain=f"{mean:.1f} threads' worth of time, if each worked on {with_article(one.kind)} of its own.",
            check_next="How long does one operation on it take? Copies, sorts and joins of a long one keep it longest.",
            where=evidence.places(waits, works),
            threads=tuple(involved),
            stacks=stacks,
        )


def _waits(profile: WaitProfile) -> tuple[int, str, int] | None:
    wait = profile.wait
    return (wait.lock, wait.lock_kind, wait.target) if profile.classification.via == OBJECT_VIA else None


def _episodes(slices: list[Slice]) -> int:
    """How often a thread began to wait: slices that adjoin are one wait, in which others had it in turn."""
    found, before = 0, -1
    for slice_ in slices:
        found += slice_.start_ns != before
        before = slice_.end_ns
    return found


def _while_waited(window: Window, one: _Object) -> Iterable[tuple[Stack, int]]:
    """Where those that had it were meanwhile."""
    slices = {tid: thread.slices for tid in one.users if (thread := window.thread(tid)) is not None}
    at = dict.fromkeys(slices, 0)
    for _, wait in sorted(one.waits, key=lambda each: each[1].start_ns):
        tid = wait.run.wait.target
        known = slices.get(tid)
        if known is None:
            continue
        while at[tid] < len(known) and known[at[tid]].end_ns <= wait.start_ns:
            at[tid] += 1
        for slice_ in known[at[tid] :]:
            if slice_.start_ns >= wait.end_ns:
                break
            if slice_.run.classification.via != OBJECT_VIA:
                yield slice_.run.stack, min(slice_.end_ns, wait.end_ns) - max(slice_.start_ns, wait.start_ns)


RULE = CriticalSectionContention()

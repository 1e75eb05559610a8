"""Passing items from thread to thread costs more than what is done with them.

What it sees:
    Threads that spend much of their computing time inside put and get of a queue: the items are handed over one by
    one, and there is little to do for each.

Why it hurts:
    Every put and every get takes a lock, wakes a thread and often hands over the GIL, some microseconds in all. Where
    the work for an item takes less, the program mostly synchronises; the threads slow each other down, and one thread
    alone would be done earlier.

How it is measured:
    Of the time in which the queue's threads compute (running, or waiting for a CPU or the GIL), the share spent inside
    the queue's methods, on the lower end of the 95 % interval; neither blocked time nor waking up counts. Only where
    that takes 2 % of a core; below 5 % it is INFO at most. Thresholds 0.2 and 0.5 [D: at 0.5 the hand-over costs
    as much as the work]: demo pair 0.6 to 0.86 (bad), below 1 % of a core (fixed). The queue itself counts items, where
    memory can be read; with py-spy their number is not known, and which queue it is was inferred from the name in the
    source line.

Fix:
    Pass lists of items.

        for part in batched(numbers, 1000): queue.put(part)
        total += sum(queue.get())

    Or do without the second thread, where all it does is cheap.

When it is fine:
    Each item must be dealt with at once, and there are few of them: then little time goes into it, and this is silent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from concview.analysis.queues import QueueWindow
from concview.analysis.statistics import lower_share
from concview.analysis.window import Slice, ThreadWindow, WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _queues
from concview.model import Confidence, Frame, State
from concview.text import count, duration, percent

#: Cores that must go into the hand-over before it matters.
MIN_CORES = 0.02
#: ... and before it may be a warning.
WARN_CORES = 0.05
#: A thread belongs to a queue when this part of its computing is inside that queue's methods.
MIN_SHARE = 0.05


@dataclass(slots=True)
class _Use:
    """One queue, and the time spent inside its methods."""

    queue: QueueWindow | None
    name: str
    inside: dict[int, list[Slice]] = field(default_factory=lambda: defaultdict(list))  #: tid -> computing in put or get
    lines: dict[Frame, int] = field(default_factory=lambda: defaultdict(int))


_POOL_FIX = (
    "Make things where they are needed, if that is cheap; else keep one for each thread:\n\n"
    "    own = threading.local()            # own.thing is this thread's\n\n"
    "Or take one out for many uses instead of for each."
)


class UnbatchedSync:
    id: ClassVar[str] = "unbatched-sync"
    title: ClassVar[str] = "Items are handed over one by one"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.2, 0.5, "share of computing time", "[D] at 0.5 the hand-over costs as much as the work"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "computing time spent inside put and get"
    task_twin: ClassVar[str] = ""

    def observe(self, window: Window) -> Iterable[Observation]:
        threads = {t.tid: t for t in window.threads}
        for use in _uses(window).values():
            inside = {tid: sum(p.ns for p in slices) for tid, slices in use.inside.items()}
            computing = {tid: _queues.computing(threads[tid].wait_profiles) for tid in inside}
            users = [threads[tid] for tid in inside if inside[tid] >= MIN_SHARE * computing[tid]]
            cores = sum(_queues.cores(t, inside[t.tid]) for t in users)
            if cores >= MIN_CORES:
                spent = sum(inside[t.tid] for t in users)
                yield _one(window, use, users, spent, sum(computing[t.tid] for t in users), cores)


def _hands_over(one: WaitProfile) -> _queues.Call | None:
    return _queues.call_of(one.stack) if _queues.computes(one) else None


def _uses(window: Window) -> dict[object, _Use]:
    named: dict[str, list[QueueWindow]] = defaultdict(list)
    for queue in window.queues:
        if queue.last.name:
            named[queue.last.name.removeprefix("self.")].append(queue)
    uses: dict[object, _Use] = {}
    for thread, (slice_, call) in ((t, found) for t in window.threads for found in t.slices_of(_hands_over)):
        name = _queues.receiver(call.caller, call.side)
        known = [q for q in named.get(name, ()) if thread.tid in q.last.users]
        if not known:  # called otherwise there; the only queue that the thread's frames refer to
            known = [q for q in window.queues if thread.tid in q.last.users and q.pool is None]
        match: QueueWindow | None = known[0] if len(known) == 1 else None
        key: object = match.address if match is not None else (name or (call.caller.file, call.caller.function))
        use = uses.setdefault(key, _Use(match, name))
        use.inside[thread.tid].append(slice_)
        use.lines[call.caller] += slice_.ns
    return uses


def _one(window: Window, use: _Use, users: list[ThreadWindow], spent: int, computing: int, cores: float) -> Observation:
    share = spent / computing
    episodes = sum(len(use.inside[t.tid]) for t in users)
    rate = use.queue.put_rate if use.queue is not None else None
    name = _queues.name_of(use.queue) if use.queue is not None else use.name or "a queue"
    tids = tuple(t.tid for t in users)
    lines = sorted(use.lines, key=lambda f: -use.lines[f])
    hogs = {t.tid for t in window.threads if t.share(State.RUNNING, State.GIL) >= 0.5}
    symptoms = (("gil-contention", "*"), ("gil-convoy", "*")) if hogs and hogs <= set(tids) else ()
    counted = f", {count(rate)} items a second, {duration(cores / rate)} each" if rate else ""
    lent = any(f.checkout is not None for f in lines)  # a pool: what is taken out is put back
    doing = f"Taking things out of {name} and putting them back" if lent else f"Handing over items through {name}"
    return Observation(
        subject=use.queue.key if use.queue is not None else (use.name or lines[0].function),
        value=share,
        lower=lower_share(share, evidence.samples_in(window, computing), episodes),
        samples=evidence.samples_in(window, sum(sum(t.nanoseconds) for t in users)),
        episodes=episodes,
        confidence=Confidence.STATISTICAL,
        label=name,
        title=f"{doing} costs more than using them" if share > 0.5 else "",
        summary=(
            f"{evidence.who(window, tids)} spend{'s' if len(tids) == 1 else ''} {percent(share)} of the computing time "
            f"inside {name}, {percent(cores)} of a core ({evidence.frame_spot(lines[0])}){counted}."
        ),
        fix=_POOL_FIX
        if lent
        else (
            "Pass lists of items instead of items.\n\n"
            f"    {use.name or 'queue'}.put(items[at : at + 1000])      # one hand-over for a thousand\n"
            f"    for item in {use.name or 'queue'}.get(): ...\n\n"
            "Or do without the second thread, where all it does is cheap."
        ),
        gain=f"Up to {percent(cores)} of a core, less what it costs to make them."
        if lent
        else (
            f"{percent(cores * 0.99)} of a core with lists of a hundred: the hand-over then costs a hundredth, and the "
            "work what it costs now."
        ),
        check_next="What does it cost to make one? object-pool-overhead tells, from counted calls."
        if lent
        else "How long may an item wait until its list is full? A time limit on filling it bounds that.",
        where=tuple(evidence.at(f) for f in lines[:3]),
        threads=tids,
        stacks=tuple(
            one
            for t in users[:3]
            for one in evidence.shown(
                "hands over", t.tid, t.name, evidence.heaviest((p.run.stack, p.ns) for p in use.inside[t.tid])
            )
        ),
        severity_cap="info" if cores < WARN_CORES else "",
        explains=symptoms,
    )


RULE = UnbatchedSync()

"""One lock in numbers: how long it is held, what is done meanwhile, how often it changes hands, what that caps.

A hold is known to a sampling interval at both ends, and one shorter than an interval may not be seen at all. So
durations below three slices are not given: what was seen of such holds are the longer ones among them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from concview.analysis.locks import SHARED_KINDS, LockSlice, LockWindow, distinct
from concview.analysis.records import Run
from concview.model import STATES, State, Wait

#: A duration is told from this many sampling slices on.
RESOLVED = 3
#: Held for less than this share, a lock caps nobody.
CAPS_FROM = 0.02


@dataclass(frozen=True, slots=True)
class LockStats:
    """Seconds, unless the name says otherwise. None: shorter than can be told, or nothing seen."""

    holds: int  #: holds that were seen
    holds_ended: int  #: of these, those whose beginning and end were seen: the quantiles are of them
    resolution: float  #: the sampling interval: both ends of a hold are known to so much
    hold_p50: float | None
    hold_p95: float | None
    hold_max: float | None
    hold_sure: bool  #: the longest was one: who had it did nothing else, and was not woken
    waits: int
    wait_mean: float  #: of one wait
    wait_max: float
    wait_each: float  #: all waits of one waiter, on average
    doing: tuple[tuple[str, float], ...]  #: what holders do -> share of the held time, largest first
    handoffs_per_s: float  #: changes from one holder to another; those between two samples are not seen
    workers: int  #: threads that held it or waited for it
    speedup_cap: float | None  #: how many times as fast as one of them all together can become at most


def merged(slices: Iterable[LockSlice]) -> list[tuple[int, int, int]]:
    """(start, end, tid) of holds or waits: slices of one thread that touch are one; in order of their start."""
    last: dict[int, int] = {}
    out: list[tuple[int, int, int]] = []
    for one in sorted(slices, key=lambda i: i.start_ns):
        at = last.get(one.tid)
        if at is not None and out[at][1] >= one.start_ns:
            out[at] = (out[at][0], max(out[at][1], one.end_ns), one.tid)
        else:
            last[one.tid] = len(out)
            out.append((one.start_ns, one.end_ns, one.tid))
    return out


def cut(waits: list[tuple[int, int, int]], seen: Iterable[LockSlice]) -> list[tuple[int, int, int]]:
    """The same waits, each in as many slices as the thread is known to have been woken meanwhile."""
    woken: dict[int, set[int]] = defaultdict(set)
    for one in seen:
        woken[one.tid].update(one.run.woken or ())
    out = []
    for start, end, tid in waits:
        edges = [start, *sorted(at for at in woken[tid] if start < at < end), end]
        out += [(a, b, tid) for a, b in pairwise(edges)]
    return out


def _unbroken(longest: tuple[int, int, int], holds: Iterable[LockSlice]) -> bool:
    start, end, tid = longest
    runs = {id(h.run): h.run for h in holds if h.tid == tid and h.start_ns < end and h.end_ns > start}
    return len(runs) == 1 and not any(run.woken for run in runs.values())


def stats(lock: LockWindow, tick_ns: float, busy_ns: Mapping[int, float]) -> LockStats:
    """`busy_ns`: tid -> time in the window in which the thread was not idle."""
    holds = [] if lock.ambiguous else merged(lock.holds)
    waits = cut(merged(lock.waits), lock.waits)
    # Cut off by the window's ends, a hold was longer than it looks: it counts only where it is among the longest.
    whole = sorted(e - s for s, e, _ in holds if s > lock.start_ns and e < lock.end_ns)
    longest = max(holds, key=lambda h: h[1] - h[0], default=(0, 0, 0))
    resolved = RESOLVED * tick_ns
    waited = [e - s for s, e, _ in waits]
    tids = {tid for _, _, tid in (*holds, *waits)}
    return LockStats(
        holds=len(holds),
        holds_ended=len(whole),
        resolution=tick_ns / 1e9,
        hold_p50=_told(_quantile(whole, 0.5), resolved),
        hold_p95=_told(_quantile(whole, 0.95), resolved),
        hold_max=_told(longest[1] - longest[0], resolved),
        hold_sure=_unbroken(longest, lock.holds),
        waits=len(waits),
        wait_mean=sum(waited) / len(waited) / 1e9 if waited else 0.0,
        wait_max=max(waited, default=0) / 1e9,
        wait_each=sum(waited) / len({tid for _, _, tid in waits}) / 1e9 if waited else 0.0,
        doing=_doing(lock),
        handoffs_per_s=sum(a[2] != b[2] for a, b in pairwise(holds)) * 1e9 / lock.window_ns,
        workers=len(tids),
        speedup_cap=_cap(lock, tids, busy_ns),
    )


def _quantile(values: list[int], q: float) -> int:
    """Of sorted values, the nearest one; 0 of none."""
    return values[min(len(values) - 1, int(q * len(values)))] if values else 0


def _told(ns: int, resolved_ns: float) -> float | None:
    return ns / 1e9 if ns and ns >= resolved_ns else None


def named_waits(runs: Iterable[Run]) -> Callable[[Run], Wait]:
    """What one of these runs waits for. Of connections that live for a moment the other end is often not to be had:
    then that of those which were made at the same line, where it is one."""
    known: dict[tuple[str, int, str], dict[str, Wait]] = defaultdict(dict)
    for run in runs:
        peer, place = run.wait.peer, _made_at(run)
        if peer is not None and not peer.nameless and place is not None:
            known[place][peer.described] = run.wait

    def wait_of(run: Run) -> Wait:
        if run.wait.peer is None or not run.wait.peer.nameless or (place := _made_at(run)) is None:
            return run.wait
        told = known.get(place, {})
        return next(iter(told.values())) if len(told) == 1 else run.wait

    return wait_of


def _made_at(run: Run) -> tuple[str, int, str] | None:
    leaf = run.stack.user_leaf
    return (leaf.file, leaf.line, run.state.name) if leaf is not None else None


def _doing(lock: LockWindow) -> tuple[tuple[str, float], ...]:
    if lock.ambiguous:
        return ()
    spent: dict[str, int] = defaultdict(int)
    holds = list(distinct(lock.holds))
    waits = named_waits(hold.run for hold in holds)
    for hold in holds:
        run = hold.run
        what = STATES[run.state]
        if run.state is State.IO:
            peer = waits(run).peer
            what = f"io {peer.described}" if peer is not None else f"io {run.wait.syscall}".rstrip()
        elif run.state is State.IDLE and run.classification.via:
            what = f"idle in {run.classification.via}"
        spent[what] += hold.ns
    whole = sum(spent.values())
    return tuple(sorted(((what, ns / whole) for what, ns in spent.items()), key=lambda p: -p[1])) if whole else ()


def _cap(lock: LockWindow, tids: set[int], busy_ns: Mapping[int, float]) -> float | None:
    """Amdahl's law: the part of the workers' time that lies under the lock cannot be shared out."""
    if lock.ambiguous or lock.kind in SHARED_KINDS or len(tids) < 2:
        return None
    held = sum(one.ns for one in distinct(lock.holds))
    useful = sum(busy_ns.get(tid, 0.0) for tid in tids) - lock.wait_ns
    if held < CAPS_FROM * lock.window_ns:
        return None
    return max(1.0, useful / held)

"""A round of work is over when its last worker is done, and the others wait for it.

What it sees:
    Workers that begin together and end one by one, while somebody waits for all of them; then the next round begins.

Why it hurts:
    A round takes as long as its slowest part. With four workers of which one has three quarters of the work, three
    mostly wait, and a fifth worker would change nothing.

How it is measured:
    A round begins when at least half of a group's workers leave their idle wait (or are born) within 50 ms, and ends
    when the next one begins. Per round: 1 minus the mean busy time of its workers over that of the busiest; over all
    rounds the mean, on the lower end of its 95 % interval. At least four workers and five rounds of ten samples each,
    and only rounds in which somebody waits for their end (result, join, a barrier) while the last worker is busy.
    Thresholds 0.25 and 0.5 [H]: on the demo pair 0.68 to 0.70 (bad); the fixed variant has no round that waits for one.

Fix:
    Smaller pieces that the workers take one by one, the large ones first.

        futures = [pool.submit(copy, f) for f in sorted(files, key=size, reverse=True)]
        wait(futures)                          # instead of one slice of the list for each worker

When it is fine:
    The first rounds after a start (caches, connections), or work that cannot be divided.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import mean, stdev
from typing import ClassVar

from concview.analysis.records import Run
from concview.analysis.statistics import Z95
from concview.analysis.window import Slice, ThreadWindow, WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, Stack, State
from concview.text import duration, percent, plural

MIN_WORKERS = 4
MIN_ROUNDS = 5
#: Workers that begin within this time begin together, and a round has at least this length.
TOGETHER_NS = 50_000_000
#: An idle wait no longer than so many samples is a hand-over from one piece of work to the next.
BLIP_TICKS = 2.5
#: Shorter rounds cannot be told apart: each worker's end is known to one sample.
ROUND_TICKS = 10
#: Somebody must wait for the round during this part of the time in which only its last worker was busy.
JOINED = 0.7
#: Ways to wait for the end of others' work.
_JOINS = frozenset({"Thread.join", "Queue.join", "Future.result", "futures.wait", "Barrier.wait"})


@dataclass(slots=True)
class _Round:
    start_ns: int
    end_ns: int
    busy: dict[int, int] = field(default_factory=lambda: defaultdict(int))  #: tid -> nanoseconds
    last_ns: int = 0  #: when the busiest alone was left, and its end
    until_ns: int = 0

    @property
    def imbalance(self) -> float:
        return 1 - mean(self.busy.values()) / max(self.busy.values())


class Straggler:
    id: ClassVar[str] = "straggler"
    title: ClassVar[str] = "Everybody waits for the last worker"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.25, 0.5, "share of the workers' time in a round", "[H] calibrated on the demo pair"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "workers that are done and wait for the last one"
    task_twin: ClassVar[str] = "async-straggler"

    def observe(self, window: Window) -> Iterable[Observation]:
        joins = _joins(window)
        if not joins:
            return  # a round is what somebody waits for the end of
        groups: dict[str, list[ThreadWindow]] = defaultdict(list)
        for thread in window.threads:
            groups[evidence.group(thread.name)].append(thread)
        for name, threads in groups.items():
            if len(threads) >= MIN_WORKERS:
                rounds = _rounds(window, threads, joins)
                if len(rounds) >= 2:
                    yield self._one(window, name, threads, rounds, joins)

    def _one(
        self, window: Window, name: str, threads: list[ThreadWindow], rounds: list[_Round], joins: _Spans
    ) -> Observation:
        values = [r.imbalance for r in rounds]
        value = mean(values)
        lower = max(0.0, value - Z95 * stdev(values) / math.sqrt(len(values)))
        typical = mean(r.until_ns - r.start_ns for r in rounds) / 1e9
        even = mean(mean(r.busy.values()) for r in rounds) / 1e9
        workers = round(mean(len(r.busy) for r in rounds))
        tails = [(r, max(r.busy, key=r.busy.__getitem__)) for r in rounds]
        by_tid = {t.tid: t for t in threads}
        slices = [p for r, tid in tails for p in _within(by_tid[tid], r.last_ns, r.until_ns) if not _waits(p.run)]
        late = evidence.heaviest((p.run.stack, p.ns) for p in slices)
        joiner, joined = _main_joiner(window, threads, rounds, joins)
        slow = max((tid for _, tid in tails), key=[tid for _, tid in tails].count)
        slowest = evidence.frame_spot(late.user_leaf) if late is not None else "an unknown place"
        return Observation(
            subject=name,
            value=value,
            lower=lower,
            samples=evidence.samples_in(window, sum(sum(r.busy.values()) for r in rounds)),
            episodes=len(rounds),
            confidence=Confidence.STATISTICAL,
            label=name,
            title=f"Every round of {name} waits for its last worker",
            summary=(
                f"In {plural(len(rounds), 'round')} of {duration(typical)} the {workers} workers of {name} are busy "
                f"for {duration(even)} on average: {percent(value)} of their time in a round they have nothing left "
                f"to do, while the last one is in {slowest}"
                + (f" and {joiner.name} waits for it." if joiner is not None else ".")
            ),
            gain=(
                f"A round could take {duration(even)} instead of {duration(typical)} ({typical / even:.1f} x), if its "
                "work can be divided evenly and the workers do not slow each other down."
                if even > 0
                else ""
            ),
            check_next=f"How is the work divided among the workers? {slowest} is where the last one still is.",
            where=evidence.places(late, joined),
            threads=tuple(t.tid for t in threads if t.alive),
            stacks=evidence.shown("last", slow, window.name(slow), late, "still busy when the others are done")
            + (evidence.shown("joiner", joiner.tid, joiner.name, joined, "waits for the round") if joiner else ()),
            needs="" if len(rounds) >= MIN_ROUNDS else f"at least {MIN_ROUNDS} rounds (has {len(rounds)})",
        )


# ---------------------------------------------------------------- rounds


#: tid -> from and to, in the order of time.
_Spans = dict[int, list[tuple[int, int]]]


def _waits(one: Run | WaitProfile) -> bool:
    """True while a worker has nothing to do in this round. One that waits for others' results is at work."""
    via = one.classification.via
    return via == "Barrier.wait" or (one.state is State.IDLE and via not in _JOINS)


def _rounds(window: Window, threads: list[ThreadWindow], joins: _Spans) -> list[_Round]:
    """The complete rounds of a group that somebody waited for."""
    blip = BLIP_TICKS * evidence.tick_ns(window)
    shortest = ROUND_TICKS * evidence.tick_ns(window)
    busy = {t.tid: _busy(t, blip) for t in threads}
    # What was busy when the window began did not begin then.
    starts = sorted((start, tid) for tid, spans in busy.items() for start, _ in spans if start > window.start_ns)
    begins: list[int] = []
    at = 0
    while at < len(starts):
        first = starts[at][0]
        together = {tid for start, tid in starts[at:] if start - first <= TOGETHER_NS}
        alive = sum(_lives(t, first, first + TOGETHER_NS) for t in threads)
        if len(together) >= max(2, 0.5 * alive):
            begins.append(first)
            first += TOGETHER_NS
            while at < len(starts) and starts[at][0] <= first:
                at += 1
        else:
            at += 1
    rounds = []
    for start, end in pairwise(begins):
        one = _Round(start, end)
        for tid, spans in busy.items():
            for a, b in spans:
                if min(b, end) > max(a, start):
                    one.busy[tid] += min(b, end) - max(a, start)
        if len(one.busy) >= MIN_WORKERS and _joined(joins, one, busy) and one.until_ns - start >= shortest:
            rounds.append(one)
    return rounds


def _lives(thread: ThreadWindow, start: int, end: int) -> bool:
    return thread.history.seen_ns <= end and (thread.alive or thread.history.gone_ns > start)


def _busy(thread: ThreadWindow, blip: float) -> list[tuple[int, int]]:
    """When the thread worked; short idle waits in between do not count."""
    spans: list[tuple[int, int]] = []
    for slice_, _ in thread.slices_of(lambda c: None if _waits(c) else True):
        if spans and slice_.start_ns - spans[-1][1] <= blip:
            spans[-1] = (spans[-1][0], slice_.end_ns)
        else:
            spans.append((slice_.start_ns, slice_.end_ns))
    return spans


def _joins(window: Window) -> _Spans:
    """When each thread waited for the end of others' work."""
    found: _Spans = defaultdict(list)
    for thread in window.threads:
        for slice_, _ in thread.slices_of(lambda c: c.classification.via in _JOINS or None):
            found[thread.tid].append((slice_.start_ns, slice_.end_ns))
    return found


def _joined(joins: _Spans, one: _Round, busy: _Spans) -> bool:
    """Whether somebody waited while the last worker alone was busy. Sets when that was."""
    ends = {
        tid: max(min(b, one.end_ns) for a, b in spans if a < one.end_ns and b > one.start_ns)
        for tid, spans in busy.items()
        if tid in one.busy
    }
    order = sorted(ends.values())
    one.last_ns, one.until_ns = order[-2], order[-1]
    tail = one.until_ns - one.last_ns
    if tail < TOGETHER_NS:
        one.last_ns = one.start_ns  # an even round: it counts when it was waited for as a whole
        tail = one.until_ns - one.last_ns
    return any(_overlap(spans, one) >= JOINED * tail for spans in joins.values())


def _overlap(spans: list[tuple[int, int]], one: _Round) -> int:
    """How much of a round's tail the spans cover."""
    return sum(max(0, min(b, one.until_ns) - max(a, one.last_ns)) for a, b in spans)


def _within(thread: ThreadWindow, start: int, end: int) -> list[Slice]:
    return [
        Slice(max(p.start_ns, start), min(p.end_ns, end), p.run)
        for p in thread.slices
        if min(p.end_ns, end) > max(p.start_ns, start)
    ]


def _main_joiner(
    window: Window, threads: list[ThreadWindow], rounds: list[_Round], joins: _Spans
) -> tuple[ThreadWindow | None, Stack | None]:
    """The thread that waits longest for the ends of the rounds, preferably none of the workers, and its stack."""
    own = {t.tid for t in threads}
    waited = {t.tid: sum(_overlap(joins[t.tid], r) for r in rounds) if t.tid in joins else 0 for t in window.threads}
    best = max(window.threads, key=lambda t: (waited[t.tid] > 0, t.tid not in own, waited[t.tid]), default=None)
    if best is None or not waited[best.tid]:
        return None, None
    return best, evidence.heaviest((c.stack, c.ns) for c in best.wait_profiles if c.classification.via in _JOINS)


RULE = Straggler()

"""One thread over a window: its slices, what they add up to, and its shares."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from concview.analysis import accounting
from concview.analysis.classify import Classification
from concview.analysis.records import Bucket, Slice, ThreadHistory, Whole
from concview.model import Stack, State, Wait
from concview.snapshot import Shares

_T = TypeVar("_T")


@dataclass(slots=True)
class WaitProfile:
    """All slices of one thread with the same stack and the same wait, added up: there are few of them, whatever the
    rate. In which order they came, only the slices tell."""

    stack: Stack
    wait: Wait
    classification: Classification
    state: State
    ns: int = 0
    times: int = 0  #: slices
    locked: bool = False  #: a lock was held in some of them, or they wait for one


class ThreadWindow:
    """One thread over the window."""

    def __init__(self, history: ThreadHistory, start_ns: int, end_ns: int) -> None:
        self.history = history
        self.tid = history.tid
        self.name = history.name
        self.native = history.native
        self.alive = history.gone_ns == 0
        self.start_ns = start_ns
        self.end_ns = end_ns

    @cached_property
    def slices(self) -> list[Slice]:
        """Its runs in the window, in time order."""
        first, last = self.start_ns, self.end_ns
        known = self.history.whole
        if known is None or first < known.start_ns or last < known.end_ns:
            known = Whole(first, last, deque())
        whole = known.slices
        latest = whole[-1].run if whole else None
        fresh: list[Slice] = []
        lasting: list[Slice] = []
        for run in reversed(self.history.runs):  # the list goes further back than the window
            start, end = run.start_ns, run.end_ns
            if run is latest or 0 < end <= first:
                break
            if 0 < end <= last:
                if end > start:
                    fresh.append(Slice(start, end, run))
            elif last > start:
                lasting.append(Slice(max(start, first), last, run))
        whole.extend(reversed(fresh))
        while whole and whole[0].end_ns <= first:
            whole.popleft()
        known.start_ns, known.end_ns = first, last
        self.history.whole = known
        out = list(whole)
        if out and out[0].start_ns < first:
            out[0] = Slice(first, out[0].end_ns, out[0].run)
        lasting.reverse()
        return out + lasting

    @cached_property
    def wait_profiles(self) -> list[WaitProfile]:
        """Its slices added up, in the order in which each condition was first seen."""
        found: dict[tuple[int, int], WaitProfile] = {}
        for slice_ in self.slices:
            run = slice_.run
            key = (id(run.stack), id(run.wait))  # both are interned: equal ones are one object
            one = found.get(key)
            if one is None:
                classification = run.classification
                one = found[key] = WaitProfile(run.stack, run.wait, classification, classification.state)
                one.locked = run.stack.holding or classification.state is State.LOCK
            one.ns += slice_.end_ns - slice_.start_ns
            one.times += 1
            if run.holds:
                one.locked = True
        return list(found.values())

    def slices_of(self, wanted: Callable[[WaitProfile], _T | None]) -> Iterator[tuple[Slice, _T]]:
        """The slices in wait_profiles of which `wanted` says something, with what it says. The slices of a thread
        without such a condition are not looked at."""
        found: dict[tuple[int, int], _T] = {}
        for one in self.wait_profiles:
            said = wanted(one)
            if said is not None:
                found[id(one.stack), id(one.wait)] = said
        if found:
            for slice_ in self.slices:
                said = found.get((id(slice_.run.stack), id(slice_.run.wait)))
                if said is not None:
                    yield slice_, said

    @cached_property
    def buckets(self) -> list[Bucket]:
        return accounting.since(self.history.buckets, self.start_ns)

    @cached_property
    def nanoseconds(self) -> list[float]:
        """Corrected nanoseconds per state over the window's buckets."""
        return accounting.total(self.buckets)[0]

    @cached_property
    def shares(self) -> Shares:
        return accounting.to_shares(self.nanoseconds)

    def share(self, *states: State) -> float:
        shares = self.shares
        if len(states) == 1:
            return shares[states[0]]
        return sum([shares[s] for s in states])

    @cached_property
    def gil_held_ns(self) -> int:
        return sum(b.gil_ns for b in self.buckets)

    def episodes(self, state: State) -> int:
        """How often it entered the state: neighbouring runs in it are one."""
        if all(c.state is not state for c in self.wait_profiles):
            return 0
        found, previous = 0, None
        for slice_ in self.slices:
            now = slice_.run.classification.state
            if now is state and previous is not state:
                found += 1
            previous = now
        return found

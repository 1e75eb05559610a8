"""One thread over a window: its slices, what they add up to, and its shares."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
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
    slices: list[Slice] = field(default_factory=list)  #: in time order
    ns: int = 0

    @property
    def times(self) -> int:
        return len(self.slices)


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
        return self._added_up[0]

    @property
    def profiled(self) -> Iterator[tuple[Slice, WaitProfile]]:
        """Its slices, each with the profile that it belongs to."""
        return zip(self.slices, self._added_up[1], strict=True)

    @cached_property
    def _added_up(self) -> tuple[list[WaitProfile], list[WaitProfile]]:
        """The profiles, and for each slice its own."""
        found: dict[tuple[int, int], WaitProfile] = {}
        alike: dict[int, WaitProfile] = {}  # most runs with one stack and wait share their classification, too
        each: list[WaitProfile] = []
        for slice_ in self.slices:
            run = slice_.run
            one = alike.get(id(run.classification))
            if one is None or one.stack is not run.stack or one.wait is not run.wait:
                key = (id(run.stack), id(run.wait))  # both are interned: equal ones are one object
                one = found.get(key)
                if one is None:
                    one = found[key] = WaitProfile(run.stack, run.wait, run.classification, run.classification.state)
                alike[id(run.classification)] = one
            one.slices.append(slice_)
            each.append(one)
        profiles = list(found.values())
        for one in profiles:
            one.ns = sum([s.end_ns - s.start_ns for s in one.slices])
        return profiles, each

    @cached_property
    def locking(self) -> list[Slice]:
        """Its slices in which a lock is held, or waited for, in time order."""
        lock = State.LOCK
        sure = {id(one) for one in self.wait_profiles if one.state is lock or one.stack.holding}
        return [slice_ for slice_, one in self.profiled if slice_.run.holds or id(one) in sure]

    def slices_of(self, wanted: Callable[[WaitProfile], _T | None]) -> Iterator[tuple[Slice, _T]]:
        """The slices in wait_profiles of which `wanted` says something, with what it says, in time order. Other slices
        are not looked at."""
        chosen = [(one, said) for one in self.wait_profiles if (said := wanted(one)) is not None]
        if len(chosen) == 1:
            one, said = chosen[0]
            return iter([(s, said) for s in one.slices])
        rows = [(s.start_ns, s, said) for one, said in chosen for s in one.slices]
        rows.sort(key=itemgetter(0))
        return iter([(s, said) for _, s, said in rows])

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

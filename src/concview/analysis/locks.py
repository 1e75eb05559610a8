"""Locks over a window: who held each, who waited, and what the holders did meanwhile.

Which sites and addresses are one lock, `lock_identity` tells. An inferred lock that several threads 'hold' at once is
several objects behind one expression (a lock per instance): it is marked `ambiguous` and its holders are not believed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import msgspec

from concview.analysis.classify import OBJECT_VIA
from concview.analysis.lock_identity import Registry, lives_of, of_several_names
from concview.analysis.records import Run
from concview.analysis.thread_window import ThreadWindow
from concview.model import BETWEEN_PROCESSES, Confidence, Hold, Site, Stack, State

NO_SITE = Site("", "", 0, "")
#: Kinds of which several threads may hold a share at once.
SHARED_KINDS = frozenset({"Semaphore", "BoundedSemaphore"})
_ONE_HOLDER = frozenset(f"{BETWEEN_PROCESSES}{kind}" for kind in ("Lock", "RLock"))
#: Share of the held time in which several threads 'hold' it. At a hand-over two do for a tick, because their stacks are
#: not read at the very same moment; objects behind one expression overlap for most of the time.
AMBIGUOUS = 0.3


class LockSlice(msgspec.Struct, frozen=True, gc=False):
    """One thread in one relation to a lock, clipped to the window."""

    tid: int
    start_ns: int
    end_ns: int
    run: Run

    @property
    def ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass
class LockWindow:
    """One lock over the window. What is worked out of its waits and holds is so once: many rules ask for the same."""

    key: str
    address: int
    kind: str
    site: Site
    confidence: Confidence
    start_ns: int
    end_ns: int
    waits: list[LockSlice] = field(default_factory=list)
    holds: list[LockSlice] = field(default_factory=list)
    ambiguous: bool = False
    places: list[Site] = field(default_factory=list)  #: where it is taken, each line once

    @property
    def window_ns(self) -> int:
        return max(1, self.end_ns - self.start_ns)

    @cached_property
    def wait_ns(self) -> int:
        return sum([w.end_ns - w.start_ns for w in self.waits])

    @cached_property
    def contended_ns(self) -> int:
        """Time in which at least one thread waited."""
        return sum([end - start for start, end, _ in self._waiting])

    @property
    def waiters_mean(self) -> float:
        return self.wait_ns / self.window_ns

    @cached_property
    def waiters_max(self) -> int:
        return max([n for _, _, n in self._waiting], default=0)

    @cached_property
    def _waiting(self) -> list[tuple[int, int, int]]:
        """(from, to, how many waited)"""
        return sweep(self.waits)

    @cached_property
    def _waited(self) -> list[tuple[int, int]]:
        """When somebody waited, without gaps between touching slices."""
        busy: list[tuple[int, int]] = []
        for start, end, _ in self._waiting:
            if busy and busy[-1][1] == start:
                busy[-1] = (busy[-1][0], end)
            else:
                busy.append((start, end))
        return busy

    @cached_property
    def episodes(self) -> int:
        """Distinct waits: slices of one thread that touch are one."""
        last: dict[int, int] = {}
        found = 0
        for wait in sorted(self.waits, key=lambda w: w.start_ns):
            if last.get(wait.tid) != wait.start_ns:
                found += 1
            last[wait.tid] = wait.end_ns
        return found

    @cached_property
    def held_ns(self) -> int:
        """Time in which it was held: seen held, or waited for (somebody must hold it then)."""
        covered = until = 0
        for start, end in sorted([*[(h.start_ns, h.end_ns) for h in self.holds], *self._waited]):
            if end > until:
                covered += end - (start if start > until else until)
                until = end
        return covered

    @property
    def held_share(self) -> float:
        return min(1.0, self.held_ns / self.window_ns)

    def contended_holds(self) -> list[tuple[LockSlice, int]]:
        """Every hold with the nanoseconds of it in which somebody waited; those without any are left out."""
        return self._contended

    @cached_property
    def _contended(self) -> list[tuple[LockSlice, int]]:
        busy = self._waited
        ends = [end for _, end in busy]
        out = []
        for hold in self.holds:
            overlap = 0
            for i in range(bisect_right(ends, hold.start_ns), len(busy)):
                start, end = busy[i]
                if start >= hold.end_ns:
                    break
                overlap += min(end, hold.end_ns) - max(start, hold.start_ns)
            if overlap > 0:
                out.append((hold, overlap))
        return out

    @cached_property
    def contended_as(self) -> list[tuple[LockSlice, int]]:
        """The same, put together by thread, stack and wait: a hold of each, with the nanoseconds of all that are alike.
        In the order in which each was first seen."""
        per: dict[tuple[int, int, int], int] = defaultdict(int)
        first: dict[tuple[int, int, int], LockSlice] = {}
        for hold, overlap in self._contended:
            run = hold.run
            kind = (hold.tid, id(run.stack), id(run.wait))  # both are interned
            if kind not in first:
                first[kind] = hold
            per[kind] += overlap
        return [(first[kind], ns) for kind, ns in per.items()]

    def contended_hold_ns(self) -> dict[State, int]:
        """What the holders did while somebody waited: nanoseconds per state of the holder."""
        out: dict[State, int] = defaultdict(int)
        for hold, overlap in self.contended_as:
            out[hold.run.state] += overlap
        return dict(out)

    @property
    def between_processes(self) -> bool:
        return self.kind.startswith(BETWEEN_PROCESSES)

    @cached_property
    def held_elsewhere(self) -> float:
        """Share of the held time in which a thread of another process had it: threads here waited, none of them had
        it. 0 where that cannot be told, as of semaphores, which several have at once."""
        if self.kind not in _ONE_HOLDER or not self.held_ns:
            return 0.0
        here = sum([end - start for start, end, _ in sweep(self.holds)])
        return max(0.0, 1 - here / self.held_ns)

    def holder_shares(self) -> list[tuple[int, float]]:
        """(tid, share of the held time that was seen), largest first: threads of this process. What is left to 1 is
        `held_elsewhere`."""
        per: dict[int, int] = defaultdict(int)
        for hold in self.holds:
            per[hold.tid] += hold.ns
        whole = sum(per.values()) or 1
        here = 1 - self.held_elsewhere
        return sorted(((tid, here * ns / whole) for tid, ns in per.items()), key=lambda p: -p[1])

    def waiters(self) -> list[int]:
        """Tids that waited, longest first."""
        return self._waiters

    @cached_property
    def _waiters(self) -> list[int]:
        per: dict[int, int] = defaultdict(int)
        for wait in self.waits:
            per[wait.tid] += wait.end_ns - wait.start_ns
        return sorted(per, key=lambda tid: -per[tid])

    @cached_property
    def waited_as(self) -> list[tuple[Run, int]]:
        """A run of each stack and wait in which it was waited for, with the nanoseconds of all that are alike: there
        are few of them, whatever the number of waits. In the order in which each was first seen."""
        per: dict[tuple[int, int], int] = defaultdict(int)
        runs: dict[tuple[int, int], Run] = {}
        for wait in self.waits:
            run = wait.run
            kind = (id(run.stack), id(run.wait))  # both are interned
            per[kind] += wait.end_ns - wait.start_ns
            runs[kind] = run
        return [(runs[kind], ns) for kind, ns in per.items()]

    @cached_property
    def still_waiting(self) -> list[tuple[int, Run]]:
        """(tid, run) of waits that have not ended."""
        return [(wait.tid, wait.run) for wait in self.waits if not wait.run.end_ns]


def sweep(slices: Iterable[LockSlice]) -> list[tuple[int, int, int]]:
    """(from, to, how many slices cover it), in time order, without empty slices."""
    # Twice the moment, and one more where a slice begins: numbers are sorted faster than pairs.
    edges = [edge for one in slices for edge in (2 * one.start_ns + 1, 2 * one.end_ns)]
    edges.sort()
    depths = accumulate([1 if edge & 1 else -1 for edge in edges])
    moments = [edge >> 1 for edge in edges]
    spans = zip(moments, moments[1:], depths, strict=False)
    return [(last, at, depth) for last, at, depth in spans if depth and at > last]


def holds_of(run: Run, exact_available: bool) -> list[Hold]:
    """The locks a run holds: those read from memory, and those inferred from its frames' source.

    Where memory is read, a `with` that memory does not confirm is not a held lock; only acquire() pairs are inferred.
    """
    return all_holds(run.holds, run.stack, exact_available)


def all_holds(read: Iterable[Hold], stack: Stack, exact_available: bool) -> list[Hold]:
    """The same of holds that were read from memory and a stack."""
    found = list(read)
    if not stack.holding:
        return found
    places = {(h.site.file, h.site.line) for h in found}
    for frame in stack.frames:
        for site in frame.holds:
            if (site.file, site.line) in places or (exact_available and site.how == "with"):
                continue
            found.append(Hold(0, "", site, Confidence.INFERRED))
    return found


def held_by_itself(run: Run) -> Hold | None:
    """The plain lock that a thread waits for and holds, both read from memory: it cannot be taken twice.

    Whether the wait has a timeout is not asked here. A Condition may be made of a plain lock.
    """
    if run.state is not State.LOCK or not run.wait.lock or not run.holds:
        return None
    kinds = ("Lock", "Condition") if run.wait.lock_kind == "Lock" else ("Lock",)
    return next(
        (h for h in run.holds if h.lock == run.wait.lock and h.kind in kinds and h.confidence is Confidence.EXACT), None
    )


def waited_lock(run: Run) -> tuple[Site | None, int]:
    """Site and address of the lock a run waits for; (None, 0) when it waits for none or none that is known.

    The lock in an object's head (builds without a GIL) is none of the program's: it has no place where it is taken.
    """
    if run.state is not State.LOCK or run.wait.via == OBJECT_VIA:
        return None, 0
    return run.classification.site, run.wait.lock


@dataclass(frozen=True, slots=True)
class Locks:
    by_key: dict[str, LockWindow]
    registry: Registry  #: what was learnt about names and addresses on the way


@dataclass(slots=True)
class _Relation:
    """To one lock, of all runs that are alike. `lock`: which one that is, once everything was seen."""

    site: Site | None
    address: int
    kind: str
    confidence: Confidence
    waiting: bool
    key: str = ""
    lock: LockWindow | None = None


def _relations(run: Run, exact_available: bool) -> list[_Relation]:
    found = []
    site, address = waited_lock(run)
    if site is not None or address:
        certain = Confidence.EXACT if address else Confidence.INFERRED
        found.append(_Relation(site, address, run.wait.lock_kind, certain, True))
    if run.holds or run.stack.holding:
        found += [_Relation(h.site, h.lock, h.kind, h.confidence, False) for h in holds_of(run, exact_available)]
    return found


def locks(threads: Iterable[ThreadWindow], start_ns: int, end_ns: int, exact_available: bool) -> Locks:
    """Every lock that was held or waited for between `start_ns` and `end_ns`, the bounds of these windows."""
    # There are many runs and few kinds of them: stacks, waits and holds are one object for equal ones.
    kinds: dict[tuple[int, int, int], list[_Relation]] = {}
    seen: list[tuple[LockSlice, list[_Relation]]] = []
    for thread in threads:
        tid = thread.tid
        for slice_ in thread.locking:
            run = slice_.run
            kind = (id(run.stack), id(run.wait), id(run.holds))
            related = kinds.get(kind)
            if related is None:
                related = kinds[kind] = _relations(run, exact_available)
            if related:
                seen.append((LockSlice(tid, slice_.start_ns, slice_.end_ns, run), related))
    registry = Registry()
    every = [r for related in kinds.values() for r in related]
    for relation in every:
        registry.learn(relation.site, relation.address)
    doubtful = of_several_names((r.address, r.site, r.kind) for r in every)
    lives = lives_of(
        (lock_slice.start_ns, lock_slice.end_ns, r.site, r.address, r.kind)
        for lock_slice, related in (seen if doubtful else ())
        for r in related
        if r.address in doubtful and r.site is not None and r.site.expression
    )
    found: dict[str, LockWindow] = {}
    for lock_slice, related in seen:
        for relation in related:
            lock = relation.lock
            if lock is None or (lives and relation.address in lives):
                lock = _known(found, relation, lock_slice.start_ns, registry, lives, (start_ns, end_ns))
                if lock is None:
                    continue
            (lock.waits if relation.waiting else lock.holds).append(lock_slice)
    for lock in found.values():
        _drop_self_waits(lock)
        slices = sweep(distinct(lock.holds))
        overlapping = sum([e - s for s, e, n in slices if n > 1])
        lock.ambiguous = lock.kind not in SHARED_KINDS and overlapping > AMBIGUOUS * sum([e - s for s, e, _ in slices])
    return Locks(found, registry)


def _known(
    found: dict[str, LockWindow],
    relation: _Relation,
    when_ns: int,
    registry: Registry,
    lives: Mapping[int, Callable[[int, str], str]],
    window: tuple[int, int],
) -> LockWindow | None:
    """The lock that it is to, at that moment. None where nothing is known of it."""
    site = relation.site
    key, relation.address = registry.key(site, relation.address)
    if not key:
        return None
    if relation.address in lives:
        key += lives[relation.address](when_ns, relation.kind)
    lock = relation.lock = found.get(key)
    if lock is None:
        lock = relation.lock = found[key] = LockWindow(
            key, relation.address, relation.kind, site or NO_SITE, relation.confidence, *window
        )
    if not lock.site.expression and site is not None and site.expression:
        lock.site = site
    if site is not None and site.file and all((p.file, p.line) != (site.file, site.line) for p in lock.places):
        lock.places.append(site)
    lock.kind = lock.kind or relation.kind
    if not relation.waiting and relation.confidence is Confidence.INFERRED:
        lock.confidence = Confidence.INFERRED
    return lock


def _drop_self_waits(lock: LockWindow) -> None:
    """A thread cannot hold what it waits for (an inferred hold of the line that is still acquiring), unless both were
    read from memory."""
    waiting = {id(w.run) for w in lock.waits}
    if waiting:
        lock.holds = [h for h in lock.holds if id(h.run) not in waiting or held_by_itself(h.run) is not None]


def distinct(slices: list[LockSlice]) -> list[LockSlice]:
    """Each (thread, run) once: a re-entered lock is held once."""
    return list({(i.tid, i.start_ns): i for i in slices}.values())

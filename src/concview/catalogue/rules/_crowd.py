"""Threads that wait for one and the same thing: who, how many at a time, for how long, and who is in their way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from concview.analysis.locks import LockSlice, sweep
from concview.analysis.window import Slice, ThreadWindow, WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation
from concview.model import STATES, Confidence, Frame, Related, Stack, StackEvidence, State
from concview.text import duration, plural

#: Threads, each with a part of its time.
Slices = list[tuple[ThreadWindow, Slice]]
#: States in words, for what a thread does while others wait for it.
WORDS = {
    **{s: STATES[s] for s in State},
    State.RUNNABLE: "waiting for a CPU",
    State.GIL: "waiting for the GIL",
    State.LOCK: "waiting for a lock",
    State.IDLE: "waiting for another thread",
    State.UNKNOWN: "doing something that could not be seen",
}


@dataclass
class Crowd:
    """`key` tells two things apart and is stable; `name` as the program calls it."""

    window: Window
    key: str
    name: str
    waits: Slices = field(default_factory=list)
    polls: bool = False  #: they look again and again by themselves

    @cached_property
    def tids(self) -> list[int]:
        """Who waits, longest first."""
        return by_time(self.waits)

    @cached_property
    def mean(self) -> float:
        """Threads that wait at a random moment of the window."""
        span = max(1, self.window.end_ns - self.window.start_ns)
        return sum(p.ns for _, p in self.waits) / span

    @cached_property
    def most(self) -> int:
        return max((n for _, _, n in sweep(lock_slices(self.waits))), default=0)

    @cached_property
    def episodes(self) -> int:
        return episodes(self.waits)

    @cached_property
    def stuck(self) -> list[int]:
        """Those whose wait is long enough to be evidence by itself."""
        return evidence.lasting(self.window, ((t.tid, p.run) for t, p in self.waits), self.polls)

    @property
    def lower(self) -> float:
        return evidence.lower_waiters(self.window, self.mean, len(self.tids), self.episodes, len(self.stuck))

    @property
    def samples(self) -> int:
        return max(self.window.samples, evidence.samples_in(self.window, sum(p.ns for _, p in self.waits)))

    @cached_property
    def lasted(self) -> float:
        """Seconds of the longest wait that has not ended."""
        since = [self._since(p) for _, p in self.waits if not p.run.end_ns]
        return (self.window.end_ns - min(since)) / 1e9 if since else 0.0

    def _since(self, slice_: Slice) -> int:
        return slice_.run.began_ns if self.polls else slice_.run.since_ns

    @cached_property
    def least(self) -> float:
        """Seconds for which each of those that are stuck has waited at least."""
        since = [self._since(p) for t, p in self.waits if not p.run.end_ns and t.tid in self.stuck]
        return (self.window.end_ns - max(since)) / 1e9 if since else 0.0

    @cached_property
    def stack(self) -> Stack | None:
        """In which most of the waiting was done."""
        return evidence.heaviest((p.run.stack, p.ns) for _, p in self.waits)

    @property
    def frame(self) -> Frame | None:
        return self.stack.user_leaf if self.stack is not None else None

    @property
    def spot(self) -> str:
        return evidence.frame_spot(self.frame)

    @property
    def who(self) -> str:
        return evidence.who(self.window, self.tids)

    def at_once(self, one: str, several: str) -> str:
        """'7 of 20 threads queue': for titles; `who` are all that ever did."""
        return evidence.at_once(self.mean, len(self.tids), len(self.stuck), one, several)

    def waiting(self, what: str) -> str:
        """'On average 7.8 of 12 threads (web-*) wait for ...': for summaries."""
        return evidence.waiting(self.who, self.mean, what)

    @property
    def lasting_words(self) -> str:
        """What is added to a summary where some have waited for long; '' where none has."""
        if not self.stuck:
            return ""
        return f". {plural(len(self.stuck), 'thread has', 'threads have')} waited for {duration(self.least)} now"

    def in_turn(
        self, confidence: Confidence, owners: Sequence[int] = (), meanwhile: Doing | None = None
    ) -> Observation:
        """How many wait at a time, for what others give back (`owners`, and what they do meanwhile). The rule adds the
        words."""
        stack = meanwhile.stack if meanwhile is not None else None
        return Observation(
            subject=self.key,
            value=self.mean,
            lower=self.lower,
            samples=self.samples,
            episodes=self.episodes,
            lasting=len(self.stuck),
            confidence=confidence,
            label=self.name,
            where=evidence.places(self.stack, stack),
            threads=(*self.tids, *(tid for tid in owners if tid not in self.tids)),
            stacks=self.evidence(),
        )

    def for_ever(self, confidence: Confidence, score: int | None) -> Observation:
        """For how long the last of them has stood, where nobody is seen who would end it. The rule adds the words.
        Without a score it is INFO: somebody may come who is not seen."""
        return Observation(
            subject=self.key,
            value=self.least,
            lower=self.least,
            samples=self.samples,
            episodes=self.episodes,
            confidence=confidence,
            label=self.name,
            gain=f"{plural(len(self.tids), 'thread')} that will not move again before a restart.",
            where=evidence.places(self.stack),
            threads=tuple(self.tids),
            stacks=self.evidence(),
            score=score,
            severity_cap="" if score is not None else "info",
        )

    def evidence(self, limit: int = 3) -> tuple[StackEvidence, ...]:
        """The stacks of those who waited longest."""
        out: tuple[StackEvidence, ...] = ()
        for tid in self.tids[:limit]:
            mine = [(p.run.stack, p.ns) for t, p in self.waits if t.tid == tid]
            waited = f"waited {duration(sum(ns for _, ns in mine) / 1e9)} of the last {duration(self.window.seconds)}"
            out += evidence.shown("waiter", tid, self.window.name(tid), evidence.heaviest(mine), waited)
        return out

    def beside(self, tids: Collection[int]) -> Slices:
        """What these threads do while they do not wait for it."""
        waiting = {id(p.run) for _, p in self.waits}
        return [(t, s) for t in self.window.threads if t.tid in tids for s in t.slices if id(s.run) not in waiting]

    def beyond(self) -> Slices:
        """What threads do that have come past the line at which these wait, in the same function: they seem to have
        what is waited for."""
        lines: dict[tuple[str, str], int] = {}
        for _, slice_ in self.waits:
            frame = slice_.run.stack.user_leaf
            if frame is not None and frame.origin == "user":
                place = (frame.file, frame.function)
                lines[place] = min(frame.line, lines.get(place, frame.line))
        waiting = {id(p.run.stack) for _, p in self.waits}

        def past(profile: WaitProfile) -> bool | None:
            if id(profile.stack) in waiting:
                return None
            frames = profile.stack.frames
            return True if any(f.line > lines.get((f.file, f.function), f.line) for f in frames) else None

        return [(t, p) for t in self.window.threads for p, _ in t.slices_of(past)]


def crowds(window: Window, wanted: Callable[[WaitProfile], tuple[str, str] | None]) -> list[Crowd]:
    """`wanted` says of a wait (key, name) of what is waited for; None: it is another matter."""
    found: dict[str, Crowd] = {}
    for thread in window.threads:
        for slice_, (key, name) in thread.slices_of(wanted):
            crowd = found.setdefault(key, Crowd(window, key, name))
            crowd.waits.append((thread, slice_))
    return list(found.values())


def related(window: Window, crowd: Crowd) -> Related | None:
    """What memory tells of the thing that is waited for now; None where nobody has waited long enough for it."""
    addresses = {p.run.wait.lock for _, p in crowd.waits if p.run.wait.lock and not p.run.end_ns}
    now = {t.tid for t, p in crowd.waits if not p.run.end_ns}
    for one in window.relations:
        if one.address in addresses or now & set(one.waiters):
            return one
    return None


def named(profile: WaitProfile, fallback: str) -> tuple[str, str]:
    """(key, name) of what a thread waits for, by the address where memory tells it, else by the place in the source."""
    site, address = profile.classification.site, profile.wait.lock
    user = profile.stack.user_leaf
    name = site.expression if site is not None and site.expression else fallback
    if address:
        return f"{address:#x}", name
    if site is not None and site.expression:
        return site.key, name
    return (f"{user.file}:{user.line}" if user is not None else "?"), name


def lock_slices(slices: Slices) -> list[LockSlice]:
    return [LockSlice(t.tid, p.start_ns, p.end_ns, p.run) for t, p in slices]


def by_time(slices: Slices) -> list[int]:
    per: dict[int, int] = defaultdict(int)
    for thread, slice_ in slices:
        per[thread.tid] += slice_.ns
    return sorted(per, key=lambda tid: -per[tid])


def episodes(waits: Slices) -> int:
    """Distinct waits: slices of one thread that touch are one."""
    last: dict[int, int] = {}
    found = 0
    for thread, slice_ in sorted(waits, key=lambda w: w[1].start_ns):
        if last.get(thread.tid) != slice_.start_ns:
            found += 1
        last[thread.tid] = slice_.end_ns
    return found


@dataclass(frozen=True, slots=True)
class Doing:
    """What those who have something mostly do meanwhile: in words ('' not seen), its share of the time, in which stack
    and thread."""

    words: str = ""
    share: float = 0.0
    stack: Stack | None = None
    thread: ThreadWindow | None = None

    def shown(self, role: str) -> tuple[StackEvidence, ...]:
        """As evidence; nothing when nobody was seen."""
        if self.thread is None:
            return ()
        return evidence.shown(role, self.thread.tid, self.thread.name, self.stack, self.words)


def doing(kept: Iterable[tuple[ThreadWindow, Slice]]) -> Doing:
    """Of the times in which something is kept by somebody."""
    spent: dict[str, int] = defaultdict(int)
    slices: dict[str, Slices] = defaultdict(list)
    for thread, slice_ in kept:
        run = slice_.run
        what = evidence.doing(run.wait) if run.state in (State.IO, State.SLEEP) else WORDS[run.state]
        spent[what] += slice_.ns
        slices[what].append((thread, slice_))
    whole = sum(spent.values())
    if not whole:
        return Doing()
    most = max(spent, key=spent.__getitem__)
    stack = evidence.heaviest((p.run.stack, p.ns) for _, p in slices[most])
    return Doing(most, spent[most] / whole, stack, next((t for t, p in slices[most] if p.run.stack is stack), None))

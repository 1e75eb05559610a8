"""Many threads come for the same thing at the same moment, and then again.

What it sees:
    Five threads or more that were doing different things, or nothing, and then ask the same peer from the same line
    within a tenth of a second; some time later they do it again. Or that begin to compute at one line together, after
    nobody did: a value that has expired is made by everybody.

Why it hurts:
    The same answer is fetched many times where once would do. The load of the side that answers comes in peaks that
    grow with the number of threads, and every thread waits for the peak.

How it is measured:
    The median number of threads that begin I/O with one peer from one line within 100 ms, after 100 ms in which none
    did, counted when there were three such moments at least and half of all that came there came so. A thread counts
    when it had been away from that peer, asleep or waiting for something else, for 100 ms. Workers of a pool that were
    handed something to do are a fan-out and do not count, nor do moments that fall into a gap between two samples.
    Where the kernel records every switch, the evidence says when each of them came, to the microsecond, and who had
    woken them.
    Of those that compute: the threads that came to a line which calls what runs, within 150 ms or a third of the time
    that it takes, after 100 ms in which nobody was there, and that were there at one moment; twice at least. Whether
    they make the same value is not read: never more than info.
    Thresholds 5 and 8 threads [H]: on the demo pair 16 (bad), 1 (fixed).

Fix:
    One asks, the others wait for its answer or go on with the old one (single flight); spread what expires.

        if expired and refresh.acquire(blocking=False):     # a Lock; everybody else goes on with the old value
            try: value = ask()
            finally: refresh.release()

        expires = now + lifetime * random.uniform(0.9, 1.1)

When it is fine:
    Threads that ask for different things at the same moment because a clock told them to, and a peer that can take it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median_low
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from concview.analysis.window import Slice, ThreadWindow, WaitProfile, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import SOCKETS
from concview.catalogue.rules._stampede import MIN_TIMES, Stampede, stampedes
from concview.model import INTERRUPT, Confidence, Frame, Stack, State
from concview.text import duration, percent

MIN_THREADS = 5
MIN_HERDS = 3
#: Threads that come within this time come together; before it, nobody came for as long.
TOGETHER_NS = 100_000_000
#: A thread comes when it was away for this long, not counting time in which it wanted to run.
AWAY_NS = 100_000_000
#: Samples this far apart cannot tell who came first.
BLIND_NS = 50_000_000
#: Of all that came there since, so many must have come so: else the moments are chance.
MOSTLY = 0.5
#: More than this share of them handed their work by a pool: a fan-out.
HANDED = 0.5
#: So many were woken by one: that is told.
NEARLY_ALL = 0.9
#: How a pool's worker waits for something to do.
_FOR_WORK = frozenset({"work", "Queue.get", "SimpleQueue.get"})
_WANTS_CPU = frozenset({State.RUNNING, State.RUNNABLE, State.GIL})

#: The user's file and line, and the peer.
_Place = tuple[str, int, str]


class _Arrival(NamedTuple):
    at_ns: int
    tid: int
    was_away: bool
    handed: bool  #: from a worker's wait for work
    slice_: Slice


class ThunderingHerd:
    id: ClassVar[str] = "thundering-herd"
    title: ClassVar[str] = "Many threads ask for the same at once"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(5.0, 8.0, "threads at once", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "peers")
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "threads that come together"
    task_twin: ClassVar[str] = ""

    def observe(self, window: Window) -> Iterable[Observation]:
        places: dict[_Place, list[_Arrival]] = defaultdict(list)
        shared = _shared(window)
        if shared:
            for thread in window.threads:
                for place, arrival in _arrivals(thread, shared):
                    places[place].append(arrival)
        for stampede in stampedes(window):
            yield _computes(window, stampede)
        blind = [(t.at_ns - t.dt_ns, t.at_ns) for t in window.history.gil if t.dt_ns > BLIND_NS]
        for place, arrivals in places.items():
            if len({a.tid for a in arrivals}) >= MIN_THREADS:
                herds = _herds(arrivals, blind)
                if sum(map(len, herds)) >= MOSTLY * len(arrivals):
                    yield _asks(window, place, herds, len(arrivals))


@dataclass(frozen=True, slots=True)
class _Came:
    """One of those that came together. `at_ns`: when, as samples saw it."""

    at_ns: int
    tid: int
    stack: Stack


@dataclass(frozen=True, slots=True)
class _Times:
    """Those that came together to one line, time after time: what is told alike, whatever they do there."""

    window: Window
    herds: list[list[_Came]]

    @property
    def typical(self) -> float:
        return float(median_low([len({c.tid for c in herd}) for herd in self.herds]))

    @property
    def largest(self) -> list[_Came]:
        return max(self.herds, key=len)

    @property
    def tids(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(c.tid for c in self.largest))

    @property
    def within(self) -> str:
        return duration(max(max(h[-1].at_ns - h[0].at_ns for h in self.herds) / 1e9, 0.01))

    def of_all(self, part: float) -> str:
        return f"{percent(part)} of all who came there, of {evidence.who(self.window, self.tids)}"

    def observation(
        self, subject: str, least: int, told: _Told, places: int, after: Mapping[int, int] = MappingProxyType({})
    ) -> Observation:
        """`least`: so many times are asked for. `places`: of how many stacks lines are named. `after`: nanoseconds
        behind the first, by tid, where they are known better than by samples."""
        largest, times = self.largest, len(self.herds)
        return Observation(
            subject=subject,
            value=self.typical,
            lower=self.typical,
            samples=self.window.samples,
            episodes=times,
            confidence=Confidence.STATISTICAL,
            title=told.title,
            summary=told.summary,
            gain=told.gain,
            check_next=told.check_next,
            where=evidence.places(*(c.stack for c in largest[:places])),
            threads=self.tids,
            stacks=tuple(
                shown
                for c in largest[:3]
                for shown in evidence.shown(
                    "herd",
                    c.tid,
                    self.window.name(c.tid),
                    c.stack,
                    _after(after.get(c.tid, c.at_ns - largest[0].at_ns)),
                )
            ),
            severity_cap=told.severity_cap,
            needs="" if times >= least else f"the same {least} times (has {times})",
        )


@dataclass(frozen=True, slots=True)
class _Told:
    title: str
    summary: str
    gain: str
    check_next: str
    severity_cap: str = ""


def _asks(window: Window, place: _Place, herds: list[list[_Arrival]], every: int) -> Observation:
    times = _Times(window, [[_Came(a.at_ns, a.tid, a.slice_.run.stack) for a in herd] for herd in herds])
    largest = max(herds, key=len)
    where = evidence.frame_spot(_user(largest[0].slice_))
    within = times.within
    exactly = _exactly(window, largest)
    if exactly is not None:
        within += f" (the largest within {duration(exactly.spread_s)}{exactly.by}, by the kernel's records)"
    answer = max(a.slice_.ns for h in herds for a in h) / 1e9
    between = (herds[-1][0].at_ns - herds[0][0].at_ns) / max(1, len(herds) - 1) / 1e9
    told = _Told(
        title=f"{times.typical:.0f} threads ask {place[2]} at once",
        summary=(
            f"{len(herds)} times, every {duration(between)}, about {times.typical:.0f} threads at once began "
            f"{evidence.doing(largest[0].slice_.run.wait)} in {where}, within {within}: "
            f"{times.of_all(sum(map(len, herds)) / every)}. An answer took up to {duration(answer)}."
        ),
        gain=(
            f"One request instead of {times.typical:.0f} each time, if all of them ask for the same; and no peak at "
            f"{place[2]}."
        ),
        check_next=f"Do they ask for the same thing in {where}, and what makes them do it at one moment?",
    )
    after = {tid: at - exactly.first_ns for tid, at in exactly.at.items()} if exactly is not None else {}
    return times.observation(f"{place[0]}:{place[1]}:{place[2]}", MIN_HERDS, told, 2, after)


def _computes(window: Window, stampede: Stampede) -> Observation:
    times = _Times(window, [[_Came(s.start_ns, s.tid, s.stack) for s in herd] for herd in stampede.times])
    where = evidence.frame_spot(stampede.frame)
    took = max(s.end_ns - s.start_ns for h in stampede.times for s in h) / 1e9
    told = _Told(
        title=f"{times.typical:.0f} threads compute in {stampede.frame.function} at once",
        summary=(
            f"{len(stampede.times)} times about {times.typical:.0f} threads at once began to compute in {where}, "
            f"within {times.within}, and nobody did before: {times.of_all(stampede.part)}. It took up to "
            f"{duration(took)}."
        ),
        gain=f"One makes it instead of {times.typical:.0f}, if all of them make the same value.",
        check_next=f"Do they make the same value in {where}, and what makes them do it at one moment?",
        severity_cap="info",
    )
    return times.observation(f"{stampede.frame.file}:{stampede.frame.line}:computes", MIN_TIMES, told, 1)


def _after(ns: int) -> str:
    return f"came {duration(ns / 1e9)} after the first" if ns else "came with the first"


@dataclass(frozen=True, slots=True)
class _Exactly:
    """When those of a herd came, by the kernel's records."""

    first_ns: int
    spread_s: float
    at: dict[int, int]  #: by tid
    by: str  #: ', woken by Thread-3'; '' where they were many, or it is not known


def _exactly(window: Window, herd: list[_Arrival]) -> _Exactly | None:
    """None where that is not known of all of them: what was seen by samples stays then."""
    at: dict[int, int] = {}
    causes: Counter[int] = Counter()
    for arrival in herd:
        # A slice begins with the sample before the one that first saw the thread there.
        found = window.history.exact.began(arrival.tid, arrival.at_ns - BLIND_NS, arrival.at_ns + BLIND_NS)
        if found is None:
            return None
        if arrival.tid not in at:
            at[arrival.tid] = found.at_ns
            causes[found.cause] += 1
    cause, count = causes.most_common(1)[0]
    by = ""
    if count >= NEARLY_ALL * len(at):
        by = f", woken by {window.name(cause)}" if cause > 0 else by
        by = ", woken by timers or the network" if cause == INTERRUPT else by
    first = min(at.values())
    return _Exactly(first, (max(at.values()) - first) / 1e9, at, by)


def _user(slice_: Slice) -> Frame | None:
    return slice_.run.stack.user_leaf


def _place(one: WaitProfile) -> _Place | None:
    """Where I/O with a peer is done; None when the thread does something else."""
    peer = one.wait.peer
    if one.state is not State.IO or peer is None or peer.kind not in SOCKETS or not peer.name:
        return None
    leaf = one.stack.user_leaf
    if leaf is None or leaf.origin != "user":
        return None
    return leaf.file, leaf.line, peer.name


def _shared(window: Window) -> set[_Place]:
    """The places to which so many threads came that they may be a herd: those of others need not be followed."""
    came: dict[_Place, set[int]] = defaultdict(set)
    for thread in window.threads:
        for one in thread.wait_profiles:
            place = _place(one)
            if place is not None:
                came[place].add(thread.tid)
    return {place for place, tids in came.items() if len(tids) >= MIN_THREADS}


def _arrivals(thread: ThreadWindow, shared: set[_Place]) -> Iterable[tuple[_Place, _Arrival]]:
    """Every time the thread turned to a peer at one of these places."""
    #: By profile: the peer ('' none), the place if it is one of these, whether it is off the CPU, and waits for work.
    said: dict[int, tuple[str, _Place | None, bool, bool]] = {}
    there = False
    for one in thread.wait_profiles:
        place = _place(one)
        if place not in shared:
            place = None
        there = there or place is not None
        peer = one.wait.peer.name if one.state is State.IO and one.wait.peer is not None else ""
        for_work = one.state is State.IDLE and one.classification.via in _FOR_WORK
        said[id(one)] = peer, place, one.state not in _WANTS_CPU, for_work
    if not there:
        return
    passed = 0  # blocked, anywhere
    left: dict[str, int] = {}
    here = ""
    handed = False
    for slice_, one in thread.profiled:
        peer, place, blocked, for_work = said[id(one)]
        if peer != here:
            if place is not None:
                was_away = passed - left.get(peer, 0) >= AWAY_NS
                yield place, _Arrival(slice_.start_ns, thread.tid, was_away, handed, slice_)
            here = peer
        if blocked:
            passed += slice_.end_ns - slice_.start_ns
            handed = for_work
            if peer:
                left[peer] = passed


def _herds(arrivals: list[_Arrival], blind: list[tuple[int, int]]) -> list[list[_Arrival]]:
    """Arrivals of many within a moment, with quiet before it."""
    arrivals.sort(key=lambda a: a.at_ns)
    found: list[list[_Arrival]] = []
    cluster: list[_Arrival] = []
    for arrival in arrivals:
        if cluster and arrival.at_ns - cluster[-1].at_ns > TOGETHER_NS:
            found.append(cluster)
            cluster = []
        cluster.append(arrival)
    found.append(cluster)
    return [c for c in found if _is_herd(c, blind)]


def _is_herd(cluster: list[_Arrival], blind: list[tuple[int, int]]) -> bool:
    if len({a.tid for a in cluster if a.was_away}) < MIN_THREADS:
        return False
    first, last = cluster[0].at_ns, cluster[-1].at_ns
    if last - first > TOGETHER_NS or sum(a.handed for a in cluster) > HANDED * len(cluster):
        return False
    return not any(start <= last and end >= first for start, end in blind)


RULE = ThunderingHerd()

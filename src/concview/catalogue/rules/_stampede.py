"""Threads that begin to compute at one and the same line at about the same moment, after nobody did: a value that has
expired, and everybody makes it.

Told by the line that calls for it, which is not the one that runs: `page = render(name)`. That they make the same value
is not read; that they come together, again and again, and nobody in between, is what a cache without a lock looks like.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from concview.analysis.window import ThreadWindow, Window
from concview.model import UNOWNED_VIA, Frame, Stack, State

#: Threads at once, and how often that must have been seen.
MIN_THREADS, MIN_TIMES = 5, 2
#: Lines of one stack that are looked at.
MOST_FRAMES = 8
#: What takes less is not worth a lock; a thread that is seen elsewhere for less has not left.
LEAST_NS, LEFT_NS = 50_000_000, 30_000_000
#: Nobody has computed there for so long before.
QUIET_NS = 100_000_000
#: They come within this, or within this part of the time that one of them takes: who waits for the GIL comes late.
TOGETHER_NS, TOGETHER = 150_000_000, 0.3
#: Of all who came there, so many must have come so.
MOSTLY = 0.5
#: Parts of a window in which it is told roughly who was where: 20 ms of ten seconds.
PARTS = 500
_WANTS_CPU = frozenset({State.RUNNING, State.RUNNABLE, State.GIL})
#: Who waited so was sent by another thread: with work, or all at once at the end of a phase.
_SENT = UNOWNED_VIA | {"work", "Queue.get", "SimpleQueue.get"}


class Stay(NamedTuple):
    """One thread that computes there from `start_ns` to `end_ns`."""

    start_ns: int
    end_ns: int
    tid: int
    handed: bool  #: another thread sent it there
    stack: Stack


@dataclass(frozen=True, slots=True)
class Stampede:
    """At one line, several times."""

    frame: Frame
    times: tuple[tuple[Stay, ...], ...]  #: each time those that came together
    part: float  #: of all who came there


#: A stay while it is being followed: from, to, tid, handed, stack.
_Open = list[Any]


def stampedes(window: Window) -> list[Stampede]:
    """Those of a window. The first and the last stay of a thread may be cut: they count by where they begin."""
    places: dict[int, list[_Open]] = defaultdict(list)
    found: list[Stampede] = []
    if window.end_ns - window.start_ns < LEAST_NS:
        return []  # no stay in it is so long, and it has no parts to speak of
    called = _Calls()
    # Where too few threads compute at all, there is nothing to follow slice by slice.
    computing = [t for t in window.threads if any(c.state in _WANTS_CPU for c in t.wait_profiles)]
    if len({t.tid for t in computing}) < MIN_THREADS:
        return []
    crowded = _crowded(window, computing, called)
    if not crowded:
        return []
    called.keep(crowded)
    for thread in computing:
        _follow(thread, called, places)
    for number, every in places.items():
        if len({s[2] for s in every}) < MIN_THREADS:
            continue
        stays = [s for s in every if s[1] - s[0] >= LEAST_NS]
        episodes = [e for e in _episodes(stays) if len(e) >= MIN_THREADS]
        if sum(map(len, episodes)) < MOSTLY * len(stays):
            continue
        herds = [herd for episode in episodes if (herd := _herd([Stay(*s) for s in episode], window.start_ns))]
        part = sum(map(len, herds)) / max(1, len(stays))
        if herds and part >= MOSTLY:
            found.append(Stampede(called.frames[number], tuple(herds), part))
    # Of lines that call each other the innermost one: further in they go their own ways.
    return [one for one in found if not any(_further_in(other, one) for other in found)]


def _further_in(other: Stampede, one: Stampede) -> bool:
    """Whether the other line was called by this one."""
    frames = other.times[0][0].stack.frames
    if one.frame == other.frame or one.frame not in frames or other.frame not in frames:
        return False
    return frames.index(other.frame) < frames.index(one.frame)


class _Calls:
    """id of a stack -> the program's lines that have called what runs, the innermost first: numbers of `frames`. There
    are few stacks and many slices, and comparing frames takes longer than all else here."""

    def __init__(self) -> None:
        self.by_stack: dict[int, tuple[int, ...]] = {}
        self.frames: list[Frame] = []
        self._numbers: dict[Frame, int] = {}
        self._same: dict[int, int] = {}  #: by id: most equal frames are one object, and a hash of it takes long

    def of(self, stack: Stack) -> tuple[int, ...]:
        known = self.by_stack.get(id(stack))
        if known is None:
            mine = [f for f in stack.frames[1:] if f.origin == "user"][:MOST_FRAMES]
            known = self.by_stack[id(stack)] = tuple(dict.fromkeys(map(self._number, mine)))
        return known

    def keep(self, wanted: set[int]) -> None:
        """Leave out all other lines."""
        for stack, numbers in self.by_stack.items():
            self.by_stack[stack] = tuple(n for n in numbers if n in wanted)

    def _number(self, frame: Frame) -> int:
        known = self._same.get(id(frame))
        if known is None:
            known = self._numbers.get(frame)
            if known is None:
                known = self._numbers[frame] = len(self.frames)
                self.frames.append(frame)
            self._same[id(frame)] = known
        return known


def _crowded(window: Window, computing: list[ThreadWindow], called: _Calls) -> set[int]:
    """Lines at which MIN_THREADS may have been at one moment, long enough to count; at any other, they have not.

    Who was where is told by the parts of the window, a bit each: of most lines that settles it, without a look at who
    came when.
    """
    begin, width = window.start_ns, (window.end_ns - window.start_ns) // PARTS + 1
    before = [(1 << n) - 1 for n in range((window.end_ns + LEFT_NS - begin) // width + 2)]  #: the first n of them
    there: dict[int, list[int]] = defaultdict(list)  #: by line, for each thread that was there
    for thread in computing:
        mine: dict[int, int] = defaultdict(int)
        for one in thread.wait_profiles:
            frames = called.of(one.stack) if one.state in _WANTS_CPU else ()
            if frames:
                parts = 0
                for slice_ in one.slices:
                    # Who is back after so short a time has not left.
                    last = (slice_.end_ns + LEFT_NS - begin) // width
                    parts |= before[last + 1] ^ before[(slice_.start_ns - begin) // width]
                for frame in frames:
                    mine[frame] |= parts
        for frame, parts in mine.items():
            there[frame].append(parts)
    least = -(-(LEAST_NS + LEFT_NS) // width)  # what lasts so long touches so many parts
    return {
        frame
        for frame, every in there.items()
        if _at_once(every) and _at_once([_unbroken(parts, least) for parts in every])
    }


def _at_once(every: list[int]) -> bool:
    """Whether MIN_THREADS of these have a bit in common."""
    if len(every) < MIN_THREADS:
        return False
    depths = [0] * (MIN_THREADS - 1)  #: bits that one at least, two at least, ... of those before have
    for parts in every:
        for n, depth in enumerate(depths):
            depths[n] = depth | parts
            parts &= depth
            if not parts:
                break
        else:
            return True
    return False


def _unbroken(parts: int, least: int) -> int:
    """Those of its bits that are in a row of so many."""
    for shift in _steps(least):
        parts &= parts >> shift
    for shift in _steps(least):
        parts |= parts << shift
    return parts


def _steps(least: int) -> Iterable[int]:
    """Shifts by which a row of one bit grows to so many."""
    size = 1
    while size < least:
        step = min(size, least - size)
        yield step
        size += step


def _follow(thread: ThreadWindow, called: _Calls, places: dict[int, list[_Open]]) -> None:
    """Add the stays of a thread, by number of frame. This runs for every slice of every thread that computes."""
    there: dict[int, _Open] = {}
    handed = False
    tid, by_stack = thread.tid, called.by_stack
    for slice_, one in thread.profiled:
        if one.state not in _WANTS_CPU:
            handed = one.classification.via in _SENT
            continue
        start, end, stack = slice_.start_ns, slice_.end_ns, one.stack
        since = start - LEFT_NS
        for frame in by_stack[id(stack)]:
            known = there.get(frame)
            if known is not None and since <= known[1]:
                known[1] = end
            else:
                there[frame] = known = [start, end, tid, handed, stack]
                places[frame].append(known)


def _episodes(stays: list[_Open]) -> Iterable[list[_Open]]:
    """Times in which somebody was there, with nobody for a while before."""
    stays.sort(key=itemgetter(0))
    begin, until = 0, 0
    for number, stay in enumerate(stays):
        if stay[0] - until >= QUIET_NS and number > begin:
            yield stays[begin:number]
            begin = number
        if stay[1] > until:
            until = stay[1]
    if begin < len(stays):
        yield stays[begin:]


def _herd(episode: list[Stay], begin_ns: int) -> tuple[Stay, ...]:
    """Those that came together at its beginning; none where they are too few, or were there before anybody looked."""
    first = episode[0].start_ns
    if len(episode) < MIN_THREADS or first - begin_ns < QUIET_NS:
        return ()
    lasted = sorted(s.end_ns - s.start_ns for s in episode)[len(episode) // 2]
    late = max(TOGETHER_NS, TOGETHER * lasted)
    came = [s for s in episode if s.start_ns - first <= late]
    if len({s.tid for s in came}) < MIN_THREADS or 2 * sum(s.handed for s in came) > len(came):
        return ()
    # All of them at one moment: not one after the other.
    moment = max(s.start_ns for s in came)
    at_once = tuple(s for s in came if s.end_ns > moment)
    return at_once if len({s.tid for s in at_once}) >= MIN_THREADS else ()

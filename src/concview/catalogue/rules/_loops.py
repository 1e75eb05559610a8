"""Event loops in stacks: which thread runs one, and how long it stays inside one callback."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from concview.analysis.classify import bare
from concview.analysis.window import ThreadWindow
from concview.catalogue.rules._kinds import is_of
from concview.model import Frame, Loops, Stack, State, Wait

_HUB = "gevent/hub.py"
_LOOP_FILES = ("asyncio/base_events.py", "asyncio/unix_events.py", "asyncio/runners.py", "uvloop/__init__.py")
_LOOP_FUNCTIONS = frozenset({"_run_once", "run_forever", "run_until_complete", "run"})
_C_LOOP_CALLERS = ("asyncio/runners.py", "uvloop/__init__.py")
#: The line of a program that runs a loop, which has no frame of its own where it is in C.
_RUNS_LOOP = re.compile(r"\.run_(until_complete|forever)\(")
#: trio's loop calls a task's coroutine itself; its other calls are of its own package.
TRIO = "trio/_core/_run.py"
_TRIO_LOOP, _TRIO_PARTS = "unrolled_run", "/trio/_core/"
_HANDLE = ("asyncio/events.py", "_run")
#: A run of samples this unlikely to be several short calls in a row is one long call.
CHANCE = 0.01
#: However busy a loop is with one handler, it spends some of its time outside of it.
MOST = 0.98
#: From here on nothing lies between one call of a handler and the next, and no length of their row says anything.
ALWAYS = 0.9
EARLY_NS = 1_500_000_000


@dataclass(slots=True)
class Stretch:
    """The loop's thread inside one callback, without a break."""

    start_ns: int
    end_ns: int
    callback: Frame
    states: list[int] = field(default_factory=lambda: [0] * len(State))
    stack: Stack | None = None  #: in which most of it was spent
    wait: Wait | None = None  #: what it waited for in that stack
    calls: list[Stretch] = field(default_factory=list)  #: the blocking calls in it, each without a break

    @property
    def ns(self) -> int:
        return self.end_ns - self.start_ns


@lru_cache(maxsize=4096)
def _loop_depth(stack: Stack) -> int:
    """Index of the innermost frame of an event loop; -1 where there is none."""
    for i, frame in enumerate(stack.frames):
        if frame.origin != "user" and bare(frame.function) in _LOOP_FUNCTIONS and is_of(frame, *_LOOP_FILES):
            return i
        if bare(frame.function) == _TRIO_LOOP and is_of(frame, TRIO):
            return i
        if _RUNS_LOOP.search(frame.text):
            return i  # a loop in C that a program runs without a runner
    return -1


@lru_cache(maxsize=4096)
def _in_hub(stack: Stack) -> bool:
    """In gevent's loop itself: a greenlet has a stack of its own, on which the hub is not."""
    return any(bare(f.function) == "run" and is_of(f, _HUB) and f.function.startswith("Hub") for f in stack.frames)


def is_hub(thread: ThreadWindow) -> bool:
    """True when the thread was seen in gevent's loop."""
    return any(_in_hub(c.stack) for c in thread.wait_profiles)


def is_loop(thread: ThreadWindow) -> bool:
    """True when the thread was seen running an event loop."""
    return is_hub(thread) or any(_loop_depth(c.stack) >= 0 for c in thread.wait_profiles)


def callback_of(stack: Stack) -> Frame | None:
    """The outermost frame of the callback the loop is in; None when it is in the loop itself, or not in a loop."""
    depth = _loop_depth(stack)
    frames = stack.frames
    if depth <= 0:
        return None
    above = depth - 1
    if bare(frames[above].function) == _HANDLE[1] and is_of(frames[above], _HANDLE[0]):
        return frames[above - 1] if above > 0 else None
    if is_of(frames[depth], TRIO):
        return frames[above] if _TRIO_PARTS not in frames[above].file else None
    # A loop in C (uvloop) has no frame of its own: what asyncio.run seems to call is the callback.
    in_c = is_of(frames[depth], *_C_LOOP_CALLERS) or _RUNS_LOOP.search(frames[depth].text) is not None
    return frames[above] if in_c and frames[above].origin in ("user", "library") else None


def greenlet_of(stack: Stack) -> Frame | None:
    """The outermost frame of the greenlet that runs, in a thread with a hub; None in the hub."""
    return stack.frames[-1] if stack.frames and not _in_hub(stack) else None


def stretches(thread: ThreadWindow, not_before_ns: int = 0) -> list[Stretch]:
    """Every stay inside a callback, in time order; what lies before `not_before_ns` is cut off."""
    found: list[Stretch] = []
    weights: dict[int, int] = {}
    cache: dict[int, Frame | None] = {}
    best = 0
    hub, looped = is_hub(thread), False  #: and whether it has been in its loop: before, the program was starting
    # Before the kernel's counters were read twice nobody knows whether it was woken.
    early = thread.end_ns - thread.start_ns < EARLY_NS and not any(b.voluntary >= 0 for b in thread.buckets)
    for slice_ in thread.slices:
        if slice_.end_ns <= not_before_ns:
            continue
        start = max(slice_.start_ns, not_before_ns)
        stack = slice_.run.stack
        if id(stack) not in cache:
            cache[id(stack)] = greenlet_of(stack) if hub else callback_of(stack)
        looped = looped or not hub or _in_hub(stack)
        if not looped:
            continue
        callback = cache[id(stack)]
        # In its own wait it is in no callback: then the stack is of a moment before.
        if callback is None or slice_.run.wait.syscall.startswith("epoll_"):
            continue
        last = found[-1] if found else None
        if last is None or last.end_ns != start or not _same(last.callback, callback):
            last = Stretch(start, start, callback)
            found.append(last)
            weights, best = defaultdict(int), 0
        ns = slice_.end_ns - start
        last.end_ns = slice_.end_ns
        last.states[slice_.run.state] += ns
        weights[id(stack)] += ns
        if weights[id(stack)] > best:
            best, last.stack, last.wait = weights[id(stack)], stack, slice_.run.wait
        if slice_.run.state not in (State.RUNNING, State.RUNNABLE, State.GIL):
            woken = [at for at in slice_.run.woken or () if start < at < slice_.end_ns]
            for begun, ended in pairwise([start, *woken, slice_.end_ns]):
                if woken or early:  # how often in between, the counters tell; when, only a few times a second
                    ended = min(ended, begun + _between_wakes(thread, begun, ended))
                call = Stretch(begun, ended, callback, stack=stack, wait=slice_.run.wait)
                call.states[slice_.run.state] = ended - begun
                last.calls.append(call)
    return found


def _between_wakes(thread: ThreadWindow, start_ns: int, end_ns: int) -> int:
    """Mean nanoseconds between two moments at which the thread went to sleep, around this time; 0 where it is not known
    yet: it did at least once."""
    counted = [b for b in thread.buckets if b.voluntary > 0]
    around = [b for b in counted if b.end_ns > start_ns and b.start_ns < end_ns] or counted
    slept = sum(b.voluntary for b in around)
    return sum(b.end_ns - b.start_ns for b in around) // slept if slept else 0


def _same(one: Frame, other: Frame) -> bool:
    return one.function == other.function and one.file == other.file


def believable(found: list[Stretch], thread: ThreadWindow, tick_ns: float) -> list[Stretch]:
    """Without the stretches of computing that many short calls in a row could make up.

    A busy loop is seen inside its one handler sample after sample, although every call is short. If a share f of all
    samples shows the handler, n samples in a row do so by chance with f^n. Real long calls are longer than that, or
    of similar length. A blocking call needs no such test as long as the kernel says that it lasts; where the thread
    was woken meanwhile, each call by itself is what is known, and stands in its place.
    """
    wall = max(1, thread.end_ns - thread.start_ns)
    samples = wall / max(1.0, tick_ns)
    groups: dict[tuple[str, str], list[Stretch]] = defaultdict(list)
    for stretch in found:
        groups[stretch.callback.file, stretch.callback.function].append(stretch)
    kept: list[Stretch] = []
    for same in groups.values():
        share = min(MOST, sum(s.ns for s in same) / wall)
        chance = math.log(CHANCE / max(samples, 1.0)) / math.log(share) if share > 0 else 0.0
        alike = _alike(same)
        for stretch in same:
            computing = stretch.states[State.RUNNING] + stretch.states[State.RUNNABLE] + stretch.states[State.GIL]
            blocks = computing < 0.5 * stretch.ns
            if not (blocks and share >= ALWAYS) and (alike or stretch.ns / max(1.0, tick_ns) >= chance):
                kept.append(stretch)
            elif blocks:
                kept += stretch.calls
    return sorted(kept, key=lambda s: s.start_ns)


#: Of a stretch in which so many callbacks ran and none waited for half of it, no callback was as long as it.
SEVERAL, WAITED = 3.0, 0.5
#: ... told from this part of it at least.
COVERED = 0.4
#: In callbacks for this part of an interval: it is in one.
IN_ONE = 0.6


class Counted(NamedTuple):
    """What the counters of a loop's ready queue say of one interval."""

    start_ns: int
    end_ns: int
    ran: int  #: callbacks
    longest_ns: int  #: for which one that was due waited


def counted(reports: Iterable[Loops], tid: int) -> list[Counted]:
    """Of the loop that a thread runs."""
    return [
        Counted(report.at_ns - report.dt_ns, report.at_ns, now.pops - before.pops, now.max_ns)
        for earlier, report in pairwise(reports)
        for now in report.loops
        for before in earlier.loops
        # trio empties its queue at a stroke, which its counters do not tell.
        if now.tid == tid
        and before.id == now.id
        and now.kind != "trio"
        and now.pops >= before.pops >= 0
        and now.max_ns >= 0
    ]


def _within(stretch: Stretch, known: Iterable[Counted]) -> tuple[float, int]:
    """(callbacks that ran in a stretch, the longest wait for one); -1: too little of it is told."""
    around = [k for k in known if k.start_ns < stretch.end_ns and k.end_ns > stretch.start_ns]
    parts = [min(k.end_ns, stretch.end_ns) - max(k.start_ns, stretch.start_ns) for k in around]
    covered = sum(parts)
    if not around or covered < COVERED * stretch.ns:
        return -1.0, 0
    inside = sum(k.ran * part / max(1, k.end_ns - k.start_ns) for k, part in zip(around, parts, strict=True))
    return stretch.ns / max(1, covered) * inside, max(k.longest_ns for k in around)


def apart(found: list[Stretch], known: list[Counted]) -> list[Stretch]:
    """What the counters of a loop's ready queue show to be several callbacks, cut to what one of them can have lasted.

    A callback that becomes due while another one runs waits for its end: with callbacks coming and going all the time,
    none of which waited for long, there was no long one. Without a Python frame between two steps of a coroutine
    (uvloop), successive steps look like one.
    """
    cut: list[Stretch] = []
    for stretch in found:
        ran, longest = _within(stretch, known)
        if ran < 0:
            if not known or stretch.start_ns < known[0].start_ns:
                cut.append(stretch)
            continue  # what its counters say has not come yet
        if ran >= SEVERAL and longest < WAITED * stretch.ns:
            stretch = _part(stretch, stretch.start_ns, int(max(longest, max(1, stretch.ns) / (ran + 1))))
        cut.append(stretch)
    return cut


def _part(stretch: Stretch, start_ns: int, ns: int) -> Stretch:
    """So much of it, with its share of what was done in it."""
    states = [n * ns // max(1, stretch.ns) for n in stretch.states]
    return replace(stretch, start_ns=start_ns, end_ns=start_ns + ns, states=states)


def on_average(found: list[Stretch], known: list[Counted], least_ns: int) -> list[Stretch]:
    """Of a loop that goes from one long callback straight into the next, and is never seen in between: where by its
    counters callbacks lasted for so long on average, as many of that length as there must have been. In shorter ones
    it cannot have spent more than their number times `least_ns`."""
    made: list[Stretch] = []
    for stretch in found:
        ran, _ = _within(stretch, known)
        mean = int(stretch.ns / (ran + 1)) if ran >= 0 else 0
        if mean < least_ns:
            continue
        count = max(1, int((stretch.ns - ran * least_ns) / mean))
        made += [_part(stretch, stretch.start_ns + i * mean, mean) for i in range(count)]
    return made


def in_one(found: list[Stretch], known: list[Counted]) -> list[Stretch]:
    """Intervals in which, by the counters, the loop began with no callback, and was in one for most of the time by
    these stretches: a stack that is read while generators come and go may lack the frames that tell it."""
    silent: list[list[int]] = []
    for one in known:
        if one.ran:
            continue
        if silent and silent[-1][1] == one.start_ns:
            silent[-1][1] = one.end_ns
        else:
            silent.append([one.start_ns, one.end_ns])
    made: list[Stretch] = []
    for start, end in silent:
        inside = [(min(s.end_ns, end) - max(s.start_ns, start), s) for s in found]
        inside = [(ns, s) for ns, s in inside if ns > 0]
        if sum(ns for ns, _ in inside) < IN_ONE * (end - start):
            continue
        states = [sum(s.states[i] * ns // max(1, s.ns) for ns, s in inside) for i in range(len(State))]
        _, most = max(inside, key=lambda each: each[0])
        made.append(replace(most, start_ns=start, end_ns=end, states=states))
    return made


def _alike(same: list[Stretch]) -> bool:
    """True when the lengths vary less than those of chance runs would (coefficient of variation below 0.5)."""
    if len(same) < 5:
        return False
    lengths = [s.ns for s in same]
    mean = sum(lengths) / len(lengths)
    variance = sum((n - mean) ** 2 for n in lengths) / len(lengths)
    return math.sqrt(variance) < 0.5 * mean

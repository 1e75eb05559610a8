"""A thread asks again and again whether there is something to do.

What it sees:
    A loop around get_nowait, empty, locked, acquire(False), done or a sleep of nothing, in which a thread spends
    nearly all of its time and wakes up hundreds of times a second. Or a loop around select or poll that never waits:
    something is ready each time, and the loop does nothing about it.

Why it hurts:
    The thread uses a core (or its share of one) to find out that nothing has changed, takes the GIL from those that
    could change it, and still notices later than a thread that is woken would.

How it is measured:
    The CPU of a thread which spends more than half of its active time on polling lines, or which wakes up at least
    500 times a second on one line, or does not rest and spends more than 60 % of its active time on the line that
    selects [M: 65 to 75 % at an end of file; a relay of small messages 50 %, and it rests]. Thresholds 2 % and 10 %
    of a core [M: a loop around sleep(0) takes 22 % of a core
    and more; H]: on the demo pair 13 % to 60 % a thread (bad), 0 % (fixed). CPU time is the kernel's own.

Fix:
    Wait for it; whoever has something to do wakes you.

        job = jobs.get()                 # instead of get_nowait() in a loop
        if stop.wait(timeout=1.0): ...   # threading.Event instead of a flag and sleep

    In a loop around select: unregister and close a connection whose read gives nothing (its other end has closed it),
    and ask for writing only while there is something to be written.

When it is fine:
    Polling a few times a second, of something that cannot wake you.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.known_places import is_file
from concview.analysis.rates import switches_per_s
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._kinds import ACTIVE
from concview.model import Confidence, Frame, Stack, State
from concview.text import count, percent

_ANSWER = "What changes the answer? It should wake these threads: an Event, a Condition, a queue."
_READY = "Which descriptor is ready? Most likely one whose other end has closed it, or one that can be written to."
_POLLING = re.compile(
    r"\b(get_nowait|put_nowait|empty|full|qsize|locked|is_set|is_alive|done|poll)\(\)"
    r"|\bacquire\((blocking=)?(False|0)\)|\bget\((block=)?False\)|\bsleep\(0(\.0*)?\)|\bsleep\(1e-\d+\)"
    r"|\bput_nowait\(|\bwhile\b.*:\s*(pass|continue)$"
)
#: A thread polls when it spends this share of its active time on such lines ...
POLLING_SHARE = 0.5
#: ... or on one line from which it wakes this often.
WAKES_PER_S = 500.0
ONE_LINE_SHARE = 0.97
#: It selects, and does nothing about what is ready, when it spends this share of its active time on that line, all but
#: this share of it in that function, and rests for no more than this one of all time.
SELECT_SHARE, OTHER_SHARE, REST_SHARE = 0.6, 0.05, 0.02
#: A library's file whose `poll` is the kernel's.
_ZMQ = "zmq/sugar/poll.py"
_SELECTS = re.compile(r"\.(select|poll|epoll_wait)\(|\bselect\(")


class BusyWait:
    id: ClassVar[str] = "busy-wait"
    title: ClassVar[str] = "A thread polls instead of waiting"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(0.02, 0.1, "share of a core", "[M] sleep(0) in a loop takes 22 %")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "counters")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "CPU of threads that poll"

    def observe(self, window: Window) -> Iterable[Observation]:
        loops: dict[tuple[str, str], list[tuple[ThreadWindow, Frame, float]]] = defaultdict(list)
        for thread in window.threads:
            found = _polling(thread)
            if found is not None:
                loops[found[0].file, found[0].function].append((thread, *found))
        for spinners in loops.values():
            yield self._loop(window, spinners)

    def _loop(self, window: Window, spinners: list[tuple[ThreadWindow, Frame, float]]) -> Observation:
        threads = [t for t, _, _ in spinners]
        frame = max(spinners, key=lambda s: s[0].nanoseconds[State.RUNNING])[1]
        cpu = sum(t.share(State.RUNNING) for t in threads)
        wakes = sum(w for _, _, w in spinners)
        tids = tuple(t.tid for t in threads)
        samples = sum(evidence.samples_in(window, sum(t.nanoseconds)) for t in threads)
        hogs = {t.tid for t in window.threads if t.share(State.RUNNING, State.GIL) >= 0.5}
        selects = bool(_SELECTS.search(frame.text))
        asks = (
            "select in {}, where something is ready each time and stays so"
            if selects
            else "ask in {} whether there is something to do"
        ).format(evidence.frame_spot(frame))
        return Observation(
            subject=f"{frame.file}:{frame.function}",
            value=cpu,
            lower=cpu,  # the kernel's own account of CPU time
            samples=samples,
            episodes=max(samples, 1),
            confidence=Confidence.EXACT,
            title=f"{evidence.who(window, tids)} poll" + ("s" if len(tids) == 1 else ""),
            summary=(
                f"{evidence.who(window, tids)} {'uses' if len(tids) == 1 else 'use'} {percent(cpu)} of a core to "
                f"{asks}: {count(wakes)} wakes a second."
            ),
            gain=f"{percent(cpu)} of a core, and the GIL as often as it is asked for.",
            check_next=_READY if selects else _ANSWER,
            where=evidence.places(*(evidence.heaviest_in(t.wait_profiles, *ACTIVE) for t in threads[:2])),
            threads=tids,
            stacks=tuple(
                s
                for t in threads[:3]
                for s in evidence.shown(
                    "polls",
                    t.tid,
                    t.name,
                    evidence.heaviest_in(t.wait_profiles, *ACTIVE),
                    f"{percent(t.share(State.RUNNING))} of a core",
                )
            ),
            explains=(
                *((("gil-contention", "*"), ("gil-convoy", "*")) if hogs and hogs <= set(tids) else ()),
                *((("cpu-saturation", "*"),) if cpu >= 0.5 * (window.cpu_percent or 0.0) / 100 else ()),
                *((("context-switch-storm", "*"),) if wakes >= 0.5 * (switches_per_s(window.buckets) or 0.0) else ()),
            ),
        )


def _polling(thread: ThreadWindow) -> tuple[Frame, float] | None:
    """The line on which a thread polls and how often it wakes a second; None when it does something else."""
    seconds = sum(thread.nanoseconds) / 1e9
    if seconds <= 0 or thread.share(State.RUNNING) < 0.005:
        return None
    lines: dict[Frame, int] = defaultdict(int)
    for one in thread.wait_profiles:
        leaf = one.stack.user_leaf
        if one.state in ACTIVE and leaf is not None:
            lines[leaf] += one.ns
    active = sum(lines.values())
    if not active:
        return None
    wakes = sum(b.voluntary for b in thread.buckets if b.voluntary > 0) / seconds
    asking = {f: ns for f, ns in lines.items() if f.origin == "user" and _POLLING.search(f.text)}
    if sum(asking.values()) >= POLLING_SHARE * active:
        return max(asking, key=asking.__getitem__), wakes
    selects = _selecting(thread, lines, active)
    if selects is not None:
        return selects, wakes
    line = max(lines, key=lines.__getitem__)
    sleeps = thread.share(State.SLEEP) > 0.05 and "sleep" in line.text
    if sleeps and wakes >= WAKES_PER_S and lines[line] >= ONE_LINE_SHARE * active:
        return line, wakes
    return None


def _selecting(thread: ThreadWindow, lines: dict[Frame, int], active: int) -> Frame | None:
    """The line that selects, of a thread that is told at once each time that something is ready and does nothing."""
    asking: dict[Frame, int] = defaultdict(int)
    for one in thread.wait_profiles:
        leaf = one.stack.user_leaf
        if one.state in ACTIVE and leaf is not None and _in_select(one.stack, leaf):
            asking[leaf] += one.ns
    if sum(asking.values()) < SELECT_SHARE * active or thread.share(*ACTIVE) < 1 - REST_SHARE:
        return None
    line = max(asking, key=asking.__getitem__)
    here = sum(ns for f, ns in lines.items() if (f.file, f.function) == (line.file, line.function))
    return line if here >= (1 - OTHER_SHARE) * active else None


def _in_select(stack: Stack, leaf: Frame) -> bool:
    """Whether a line of the program waits for descriptors: of a library, `frame.select(...)` reads a table."""
    if leaf.origin != "user" or not _SELECTS.search(leaf.text):
        return False
    inside = stack.frames[: stack.frames.index(leaf)]
    return all(f.origin != "library" or is_file(f, _ZMQ) for f in inside)


RULE = BusyWait()

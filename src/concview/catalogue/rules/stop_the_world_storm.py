"""A build without a GIL stops all threads so often or so long that the program feels it.

What it sees:
    Moments at which threads that want to run stand still because one has asked for a stop of the world: to collect
    garbage above all, but also to list all threads' frames, to switch profiling or tracing on, to fork.

Why it hurts:
    One thread works, all others that want to run wait until it is done, however many CPUs there are. A full collection
    looks at every container the program has; and it begins only once the last thread has come to a point where it can
    stop, so that everybody waits for the slowest.

How it is measured:
    Time in which at least one thread is parked at its own thread state, where they stand while the world is stopped, or
    in which whoever asked waits for the last one to stop, as a share of all, on the lower end of the 95 % interval. Who
    asked is read from the interpreter. Thresholds 5 % and 10 % [S: published limits for time spent in collection, as
    for gc-storm; M: demo pair on 3.14.7, load 50: 67 % and 0 %]. Pauses shorter than the time between two
    samples are seen in proportion, but their number then is the least that there were.

Fix:
    Let nobody collect by hand on the way of a request, and freeze what stays for ever.

        gc.freeze()                       # after start-up: these objects are never looked at again
        gc.set_threshold(50_000, 20, 20)  # not fewer new containers than the 2,000 of the default

    Watchdogs that call sys._current_frames() or gc.get_objects() many times a second stop everybody each time, too.

When it is fine:
    A collection at a moment of the program's choice, when nobody wants to run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.classify import STOP_VIA, STOPPING_VIA
from concview.analysis.statistics import lower_share
from concview.analysis.thread_window import WaitProfile
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, Stack, StackEvidence, State
from concview.text import duration, percent, plural

#: While a program imports and starts its threads, types are made and changed, which stops the world, too.
MIN_SECONDS = 2.0
#: Calls that stop all threads, as the asking thread's line shows them -> what to do about it.
_CALLS = {
    "gc.collect(": "Do not collect by hand while others work: leave it to the thresholds, or do it when nothing runs.",
    "gc.freeze(": "Freeze once, after start-up, not again and again.",
    "gc.get_": "Look through all objects (gc.get_objects(), gc.get_referrers()) seldom: everybody stands meanwhile.",
    "_current_frames(": "Look at all threads' frames seldom, or from outside the process: each look stops everybody.",
    "_current_exceptions(": "Look at all threads' exceptions seldom: each look stops everybody.",
    "fork(": "Start processes by posix_spawn (subprocess does) or from a small process of their own: a fork stops all.",
}
_SHOWN = 3


class StopTheWorldStorm:
    id: ClassVar[str] = "stop-the-world-storm"
    title: ClassVar[str] = "All threads are stopped again and again"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.05, 0.1, "share of the time", "[S] published limits for time spent in collection"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "all threads stopped"

    def observe(self, window: Window) -> Iterable[Observation]:
        evidence.require_free_threading(window)
        if window.seconds < MIN_SECONDS:
            return
        stood: dict[int, int] = defaultdict(int)  #: tid -> ns
        asked: dict[int, int] = defaultdict(int)
        spans: list[tuple[int, int]] = []
        for thread in window.threads:
            for slice_, (via, target) in thread.slices_of(_stands):
                ns = slice_.end_ns - slice_.start_ns
                spans.append((slice_.start_ns, slice_.end_ns))
                if via == STOPPING_VIA:
                    asked[thread.tid] += ns
                    continue
                stood[thread.tid] += ns
                if target:
                    asked[target] += ns
        if not stood:
            return
        pauses = evidence.joined(spans)
        stopped = sum(end - start for start, end in pauses)
        share = stopped / (window.end_ns - window.start_ns)
        victims = sorted(stood, key=lambda t: -stood[t])
        askers = sorted(asked, key=lambda t: -asked[t])
        doing = {tid: _meanwhile(window.thread(tid), pauses) for tid in askers[:_SHOWN]}
        leading = doing[askers[0]] if askers else None
        leaf = leading.user_leaf if leading is not None else None
        wanted = sum(t.nanoseconds[s] for t in window.threads for s in (State.RUNNING, State.RUNNABLE))
        lost = sum(stood.values())
        rate = len(pauses) / window.seconds
        stacks: tuple[StackEvidence, ...] = ()
        for tid in askers[:_SHOWN]:
            part = asked[tid] / sum(asked.values())
            stacks += evidence.shown("asks", tid, window.name(tid), doing[tid], f"asked for {percent(part)} of it")
        for tid in victims[:_SHOWN]:
            note = f"stood for {duration(stood[tid] / 1e9)} of the last {duration(window.seconds)}"
            stacks += evidence.shown("stopped", tid, window.name(tid), _stack_of(window.thread(tid)), note)
        yield Observation(
            subject="process",
            value=share,
            lower=lower_share(share, window.samples, len(pauses)),
            samples=window.samples,
            episodes=len(pauses),
            confidence=Confidence.STATISTICAL,
            title=f"All threads stand still {percent(share)} of the time",
            summary=(
                f"All threads are stopped {percent(share)} of the time, in at least {rate:.1f} pauses a second of "
                f"{duration(stopped / 1e9 / len(pauses))} at most on average; "
                f"{plural(len(victims), 'thread')} that wanted to run stood for {percent(lost / (lost + wanted))} of "
                f"the time in which they ran or wanted to"
                + (f". Asked for by {evidence.who(window, askers)}" if askers else ". Who asked was not seen")
                + (f", in {evidence.frame_spot(leaf)}" if leaf is not None else "")
                + (f" ({leaf.text})." if leaf is not None and leaf.text else ".")
            ),
            fix=_fix(leading),
            gain=f"Up to {percent(share)} of the time of every thread that computes.",
            check_next="gc.get_threshold(), gc.get_stats() and len(gc.get_objects()) in the process itself.",
            where=evidence.places(leading, *(_stack_of(window.thread(t)) for t in victims[:2])),
            threads=tuple(dict.fromkeys([*askers, *victims])),
            stacks=stacks,
            explains=(("gc-storm", "*"),),
        )


def _stands(profile: WaitProfile) -> tuple[str, int] | None:
    via = profile.classification.via
    return (via, profile.wait.target) if via in (STOP_VIA, STOPPING_VIA) else None


def _meanwhile(thread: ThreadWindow | None, pauses: list[tuple[int, int]]) -> Stack | None:
    """Where a thread was for most of the pauses."""
    if thread is None:
        return None
    ends = [end for _, end in pauses]
    seen: list[tuple[Stack, int]] = []
    for slice_ in thread.slices:
        if slice_.run.classification.via == STOP_VIA:
            continue  # another one had asked
        for start, end in pauses[bisect_left(ends, slice_.start_ns) :]:
            if start >= slice_.end_ns:
                break
            seen.append((slice_.run.stack, max(0, min(end, slice_.end_ns) - max(start, slice_.start_ns))))
    return evidence.heaviest(seen)


def _stack_of(thread: ThreadWindow | None) -> Stack | None:
    """In which it stood longest."""
    if thread is None:
        return None
    return evidence.heaviest((c.stack, c.ns) for c in thread.wait_profiles if c.classification.via == STOP_VIA)


def _fix(asks: Stack | None) -> str:
    lines = [f.text for f in asks.frames] if asks is not None else []
    said = next((words for line in lines for call, words in _CALLS.items() if call in line), "")
    if not said:
        return ""
    return f"{said}\n\n    gc.freeze()    # after start-up: what stays for ever is never looked at again"


RULE = StopTheWorldStorm()

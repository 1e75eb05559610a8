"""The garbage collector runs so often or so long that the program feels it.

What it sees:
    A share of the time in which the cyclic garbage collector is at work, in whatever thread happened to allocate.

Why it hurts:
    A collection holds the GIL from beginning to end: every thread of the process stands still for it. A full
    collection looks at every container the program has, however little there is to free.

How it is measured:
    Samples in which the interpreter's `collecting` flag is set, as a share of all, on the lower end of the 95 %
    interval. Thresholds 5 % and 10 % [S: published limits for time spent in collection]: on the demo pair 45 % (bad)
    and 0 % (fixed). Where the GIL is free in a tenth of these samples or more, the collector waits: it runs a finalizer
    (`__del__`, a weak reference's or gc's callback) that blocks, others run meanwhile, and it is not counted.

Fix:
    Leave the thresholds as they are or raise them, and freeze what stays for ever.

        gc.freeze()                       # after start-up: these objects are never looked at again
        gc.set_threshold(50_000, 20, 20)  # instead of 700 (2,000 from 3.14 on) new containers

    Fewer cycles: no parent pointers where a weakref.ref does, plain tuples for rows.

When it is fine:
    The program calls gc.collect() itself at a moment of its choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.statistics import lower_share
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.model import Confidence, State
from concview.text import percent

#: Collecting while nobody has the GIL, as a share of the samples with collecting: a collection never lets go of it, but
#: for a sample that is torn.
LET_GO = 0.1


class GcStorm:
    id: ClassVar[str] = "gc-storm"
    title: ClassVar[str] = "The garbage collector runs all the time"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.05, 0.1, "share of the time", "[S] published limits for time spent in collection"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "collecting")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "collecting garbage"

    def observe(self, window: Window) -> Iterable[Observation]:
        collecting = sum(b.collecting_ns for b in window.buckets)
        sampled = sum(b.sampled_ns for b in window.buckets)
        if not collecting or not sampled:
            return
        if _lets_go(window):
            return
        share = collecting / sampled
        hot = evidence.hot(window.threads, State.RUNNING)
        asked = sum(part for frame, part in hot if "gc.collect" in frame.text)
        if asked >= 0.5:
            return
        times = evidence.samples_in(window, collecting)
        busiest = sorted(window.threads, key=lambda t: -t.nanoseconds[State.RUNNING])[:3]
        stacks = tuple(
            one
            for t in busiest
            if t.share(State.RUNNING) > 0.01
            for one in evidence.shown("allocates", t.tid, t.name, evidence.heaviest_in(t.wait_profiles, State.RUNNING))
        )
        yield Observation(
            subject="process",
            value=share,
            lower=lower_share(share, window.samples, times),
            samples=window.samples,
            # A collection is shorter than the time between two samples, or it is what this is about.
            episodes=times,
            confidence=Confidence.EXACT,
            summary=(
                f"The garbage collector is at work {percent(share)} of the time, and holds the GIL meanwhile"
                + (f". Most of the running code is in {evidence.frame_spot(hot[0][0])}." if hot else ".")
            ),
            gain=f"Up to {percent(share)} of the time of every thread that needs the GIL.",
            check_next="gc.get_threshold(), gc.get_stats() and len(gc.get_objects()) in the process itself.",
            where=tuple(evidence.at(f) for f, _ in hot[:3]),
            threads=tuple(t.tid for t in busiest),
            stacks=stacks,
            explains=(("gil-contention", "*"), ("native-gil-hold", "*"), ("gil-convoy", "*")),
        )


def _lets_go(window: Window) -> bool:
    """Whether the collector is in Python code that blocks: a collection itself keeps the GIL from beginning to end."""
    ticks = [g for g in window.gil_ticks if g.collecting and g.holder != -1]
    free = sum(g.dt_ns for g in ticks if g.holder == 0)
    return free > LET_GO * sum(g.dt_ns for g in ticks)


RULE = GcStorm()

"""Threads that do I/O are late because another thread computes: the GIL convoy.

What it sees:
    Threads that hardly use the CPU themselves, and lose most of their time waiting for the GIL after a call returned,
    while another thread computes in Python.

Why it hurts:
    A thread gives up the GIL for every blocking call and has to get it back afterwards. A computing thread lets go
    after five milliseconds at the earliest, so every answer is late by 5 ms for each computing thread, however fast
    it came.

How it is measured:
    Over the threads that run less than 20 % of the time, come and go at least three times a second and wait for the GIL
    for a tenth of the window: waiting for the GIL as a share of that, I/O, locks and running, on the lower end of the
    95 % interval. Thresholds 0.3 and 0.6 [M: a round trip of 1.1 ms takes 6.3, 15.7 and 35.8 ms beside 1, 2 and 4
    computing threads, shares of 0.83 and more; H where to begin]: on the demo pair 0.80 to 0.90 (bad), 0.0 (fixed). The
    5 ms are the interpreter's switch interval [S]. Samples at 100 Hz cannot time a single wait, but they do tell a
    share. A thread that runs more than 40 % of what the busiest one runs is no victim; where at least as many wait as
    compute, this explains gil-contention.

Fix:
    Move the computation out of this process.

        with ProcessPoolExecutor(1) as pool:
            report = pool.submit(compute, data).result()

    Stop-gap: sys.setswitchinterval(0.001) makes the wait shorter and the switching more expensive.

When it is fine:
    Threads in the background for which nobody waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.statistics import lower_share
from concview.analysis.window import GilWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules._gil import blocks, gils, parties, shown
from concview.model import Confidence, State
from concview.text import duration, percent


class GilConvoy:
    id: ClassVar[str] = "gil-convoy"
    title: ClassVar[str] = "Every answer waits for the GIL"
    group: ClassVar[str] = "GIL and scheduler"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.3, 0.6, "share of the waiting threads' busy time", "[M] a 1.1 ms round trip becomes 6.3 ms beside one hog"
    )
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "gil", "counters")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "waiting for the GIL after a call"

    def observe(self, window: Window) -> Iterable[Observation]:
        for gil in gils(window):
            yield from self._one(window, gil)

    def _one(self, window: Window, gil: GilWindow) -> Iterable[Observation]:
        hogs, victims = parties(gil.threads)
        if not hogs or not victims:
            return
        hogs.sort(key=lambda t: -t.nanoseconds[State.RUNNING])
        victims.sort(key=lambda t: -t.nanoseconds[State.GIL])
        waiting = sum(t.nanoseconds[State.GIL] for t in victims)
        busy = sum(
            t.nanoseconds[s] for t in victims for s in (State.GIL, State.IO, State.LOCK, State.RUNNING, State.RUNNABLE)
        )
        share = waiting / busy
        samples = evidence.samples_in(window, busy)
        episodes = sum(t.episodes(State.GIL) for t in victims)
        late = waiting / 1e9 / max(1.0, sum(blocks(t) for t in victims))
        hot = evidence.hot(hogs, State.RUNNING, State.GIL)
        names, computing = (evidence.who(window, [t.tid for t in those]) for those in (victims, hogs))
        computing += " computes" if len(hogs) == 1 else " compute"
        lost = evidence.heaviest_in(victims[0].wait_profiles, State.GIL)
        yield Observation(
            subject=gil.subject,
            value=share,
            lower=lower_share(share, samples, episodes),
            samples=samples,
            episodes=episodes,
            confidence=Confidence.STATISTICAL,
            title=f"{names} {'gets' if len(victims) == 1 else 'get'} the GIL{gil.where} late",
            summary=(
                f"{names}: {percent(share)} of the busy time is lost waiting for the GIL{gil.where}, at least "
                f"{duration(late)} each time, while {computing}"
                + (f" in {evidence.frame_spot(hot[0][0])}." if hot else ".")
            ),
            gain=f"Answers up to {1 / max(1 - share, 0.05):.0f} x as fast, if nothing else there computes.",
            check_next="Is what the computing thread does needed in this process?",
            where=(*(evidence.at(f) for f, _ in hot[:2]), *evidence.places(lost)),
            threads=tuple(t.tid for t in [*hogs, *victims]),
            stacks=shown("hog", hogs[:2], State.RUNNING, State.GIL) + shown("victim", victims[:3], State.GIL),
            # Two that compute wait for each other, too: what matters is who waits for both. Where more compute than
            # wait it is the other way round (see gil-contention).
            explains=(("gil-contention", gil.subject),) if len(victims) >= len(hogs) else (),
        )


RULE = GilConvoy()

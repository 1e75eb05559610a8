"""It waits for the GIL: for the thread that has it, at the line where that one is."""

from __future__ import annotations

from bisect import bisect_left
from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Via
from concview.analysis.blame.world import Look, Waiter
from concview.model import Confidence, State


class Gil:
    order: ClassVar[int] = 12
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.state is State.GIL

    def follow(self, waiter: Waiter) -> Link:
        moment, interpreters = waiter.moment, waiter.world.history.interpreters
        gil = interpreters.gil(waiter.tid)
        ticks = interpreters.ticks.get(gil, waiter.world.history.gil)
        holder, confidence = 0, Confidence.EXACT
        at = bisect_left(ticks, moment.at_ns, key=lambda tick: tick.at_ns) if ticks else 0
        if at < len(ticks):
            holder = ticks[at].holder
        if holder not in moment.runs or holder == waiter.tid:
            # Between two samples it went to another: that one runs.
            running = [t for t, run in moment.runs.items() if run.state is State.RUNNING and t != waiter.tid]
            running = [t for t in running if interpreters.gil(t) == gil]
            holder, confidence = (running[0] if running else 0), Confidence.INFERRED
        others = [holder] if holder else []
        otherwise = waiter.end(End.CPU, "the GIL changes hands")
        # No memory: who had it last says nothing of who has it now.
        link = waiter.link(
            Via.GIL, f"the GIL of interpreter {gil}" if gil else "the GIL", others, confidence, otherwise
        )
        link.key = None
        return link


KIND = Gil()

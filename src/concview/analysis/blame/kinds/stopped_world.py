"""Builds without a GIL: somebody stops all threads, to collect garbage above all, and goes on alone.

Who asked is read from the interpreter. Where it could not be, it is one of those that run: all others are stopped.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.classify import STOP_VIA
from concview.model import Confidence, State

_RUNS = frozenset({State.RUNNING, State.RUNNABLE})


class StoppedWorld:
    order: ClassVar[int] = 14
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == STOP_VIA

    def follow(self, waiter: Waiter) -> Link:
        runs, asked = waiter.moment.runs, waiter.wait.target
        what = "the end of a stop of all threads"
        if asked in runs:
            return waiter.link(Via.STOP, what, [asked], Confidence.EXACT)
        others = sorted(t for t, run in runs.items() if run.state in _RUNS and t != waiter.tid)
        otherwise = waiter.end(End.UNEXPLAINED, "all threads are stopped: who asked for it is not seen")
        return waiter.link(Via.STOP, what, others, otherwise=otherwise)


KIND = StoppedWorld()

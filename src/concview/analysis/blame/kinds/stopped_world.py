"""Builds without a GIL: somebody stops all threads, to collect garbage above all, and goes on alone.

Who asked is no fact that is read; all others are stopped, so it is one of those that run.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.classify import STOP_VIA
from concview.model import State

_RUNS = frozenset({State.RUNNING, State.RUNNABLE})


class StoppedWorld:
    order: ClassVar[int] = 14
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == STOP_VIA

    def follow(self, waiter: Waiter) -> Link:
        runs = waiter.moment.runs
        others = sorted(t for t, run in runs.items() if run.state in _RUNS and t != waiter.tid)
        otherwise = waiter.end(End.UNEXPLAINED, "all threads are stopped: who asked for it is not seen")
        return waiter.link(Via.STOP, "the end of a stop of all threads", others, otherwise=otherwise)


KIND = StoppedWorld()

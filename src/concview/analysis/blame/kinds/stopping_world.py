"""Builds without a GIL: who asked for a stop of all threads waits until the last of them has stopped.

A thread stops between two instructions of Python, and counts as stopped where it is blocked: the one that runs on is in
a call of native code that lets go of neither.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.classify import STOPPING_VIA
from concview.model import State

_RUNS = frozenset({State.RUNNING, State.RUNNABLE})


class StoppingWorld:
    order: ClassVar[int] = 15
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == STOPPING_VIA

    def follow(self, waiter: Waiter) -> Link:
        runs = waiter.moment.runs
        others = sorted(t for t, run in runs.items() if run.state in _RUNS and t != waiter.tid)
        otherwise = waiter.end(End.UNEXPLAINED, "not all threads have stopped: which one has not is not seen")
        return waiter.link(Via.STOPPING, "all other threads to stop", others, otherwise=otherwise)


KIND = StoppingWorld()

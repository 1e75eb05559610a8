"""A pool by hand that is looked into again and again: what a method takes out of a list or deque, whoever called it
gives back by another method. One that finds it empty pauses, and the kernel says only that it sleeps.

Only where the source shows both, so that a consumer which polls for work is not taken for one.
"""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds._ways import on_the_way
from concview.analysis.blame.kinds.resource import passed_back
from concview.analysis.blame.nouns import End, Link, Via
from concview.analysis.blame.world import Look, Waiter
from concview.model import State


class PolledPool:
    order: ClassVar[int] = 28
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.state is State.SLEEP and look.wait.via != "native" and bool(look.own)

    def follow(self, waiter: Waiter) -> Link | None:
        frame = waiter.look.own[0]
        if frame != waiter.frame:
            return None
        method, on = waiter.source.taken_by_polling(frame.function, frame.line)
        if not on or not passed_back(waiter, on, method):
            return None
        owners, _ = on_the_way(waiter, on, method)
        otherwise = waiter.end(End.UNEXPLAINED, f"{on}: all are out, not seen who has them")
        return waiter.link(Via.RESOURCE, on, owners, otherwise=otherwise, key=("polled pool", waiter.look.place))


KIND = PolledPool()

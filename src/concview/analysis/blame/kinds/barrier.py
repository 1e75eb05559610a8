"""Others at a barrier: those of the same function that are not there yet."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds._ways import on_the_way
from concview.analysis.blame.nouns import End, Link, Via
from concview.analysis.blame.ties import ties
from concview.analysis.blame.world import Look, Waiter


class Barrier:
    order: ClassVar[int] = 59
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == "Barrier.wait"

    def follow(self, waiter: Waiter) -> Link:
        frame = waiter.frame
        found = [c for c in waiter.source.calls_on(frame.function, frame.line) if c.method == "wait"]
        on = found[0].on if found else ""
        told = ties(waiter)
        owners, makers = (told.have, told.make) if told is not None and told.make else on_the_way(waiter, on, "barrier")
        what = f"others at {on}" if on else "others at a barrier"
        otherwise = waiter.end(End.UNEXPLAINED, f"{what}: nobody is on the way there")
        if told is not None and told.row.complete and not told.row.more and not (told.have or told.make):
            otherwise = waiter.end(End.NOBODY, "no thread is left that would come there")
        return waiter.link(Via.BARRIER, what, [*owners, *makers], otherwise=otherwise)


KIND = Barrier()

"""A permit of a semaphore: each thread that is past `acquire` and not past `release`."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds._ways import inside_block, on_the_way
from concview.analysis.blame.nouns import End, Link, Via
from concview.analysis.blame.world import Look, Waiter
from concview.model import Confidence


class Permit:
    order: ClassVar[int] = 60
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via == "Semaphore.acquire"

    def follow(self, waiter: Waiter) -> Link:
        frame, address = waiter.frame, waiter.wait.lock
        site = waiter.run.classification.site
        _, on = waiter.source.waited(frame.function, frame.line)
        what = (site.expression if site is not None else "") or on or "a semaphore"
        held = [t for t in waiter.moment.holders.get(address, ()) if t != waiter.tid] if address else []
        if held:
            return waiter.link(Via.PERMIT, what, held, Confidence.EXACT)
        others = inside_block(waiter) or on_the_way(waiter, on, "acquire")[0]
        if not others and site is not None:
            others = [t for t in waiter.moment.inferred_holders.get(site.key, ()) if t not in waiter.same]
        otherwise = waiter.end(End.UNEXPLAINED, f"a permit of {what}: not seen who has one")
        return waiter.link(Via.PERMIT, what, others, otherwise=otherwise)


KIND = Permit()

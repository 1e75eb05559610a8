"""The end of a thread (join)."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.nouns import End, Link, Root, Via
from concview.analysis.blame.world import Look, Waiter
from concview.model import Confidence


class Join:
    order: ClassVar[int] = 50
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.via in ("Thread.join", "atexit")

    def follow(self, waiter: Waiter) -> Root | Link:
        moment, target, frame = waiter.moment, waiter.wait.target, waiter.frame
        loop = waiter.source.loop(frame.function, frame.line) if waiter.wait.timed else None
        if loop is not None and loop.endless and "is_alive" not in loop.test:  # `while t.is_alive()` waits for the end
            return waiter.end(End.PACE, "looks now and then whether a thread has ended, in a loop")
        if target and target in moment.runs and target != waiter.tid:
            return waiter.link(Via.END, "the end", [target], Confidence.EXACT, key=("join", target))
        others = [t for t in moment.runs if t not in (waiter.tid, waiter.world.main)]
        if not others:
            return waiter.end(End.IDLE, "waits for threads to end")
        return waiter.link(Via.END, "the end of a thread", others)


KIND = Join()

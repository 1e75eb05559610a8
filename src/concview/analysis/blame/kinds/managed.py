"""A lock of a process of multiprocessing.Manager. Who has it is known there alone, unless it is a thread of this
process that is past the call which takes it."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds._ways import inside_block, on_the_way
from concview.analysis.blame.nouns import End, Link, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import MANAGED_LOCKS, among
from concview.model import Confidence, WaitKind

#: Frames of the standard library, from the innermost on, among which the one that takes it is.
_DEPTH = 8


class Managed:
    order: ClassVar[int] = 40
    fixed: ClassVar[bool] = False

    def applies(self, look: Look) -> bool:
        return look.wait.kind is WaitKind.IO and any(among(f, MANAGED_LOCKS) for f in look.stack.frames[:_DEPTH])

    def follow(self, waiter: Waiter) -> Link:
        asks = next((f for f in waiter.look.own if f.origin == "user"), None)
        method, on = waiter.world.file(asks.file).waited(asks.function, asks.line) if asks is not None else ("", "")
        what = f"{on}, a lock of a Manager" if method == "acquire" and on else "a lock of a Manager"
        have = inside_block(waiter) or (on_the_way(waiter, on, "acquire")[0] if method == "acquire" and on else [])
        if have:
            return waiter.link(Via.LOCK, what, have, told=True)
        peer = waiter.wait.peer
        asked = (peer.known_as if peer is not None else "") or "the Manager's process"
        end = waiter.end(End.PEER, f"whoever has it by what {asked} says (one that was killed with it keeps it)")
        return waiter.outside(Via.LOCK, what, Confidence.INFERRED, end)


KIND = Managed()

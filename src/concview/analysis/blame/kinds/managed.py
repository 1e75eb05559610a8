"""A lock of a process of multiprocessing.Manager. Who has it is known there alone, unless it is a thread of this
process that is past the call which takes it."""

from __future__ import annotations

from typing import ClassVar

from concview.analysis.blame.kinds._ways import ELSEWHERE, check_tree, inside_block
from concview.analysis.blame.nouns import End, Link, Node, Via
from concview.analysis.blame.world import Look, Waiter
from concview.analysis.known_places import MANAGED_LOCKS, among
from concview.model import LENT_KIND, Confidence, Frame, WaitKind

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
        have = inside_block(waiter)
        if not have and asks is not None and method == "acquire" and on:
            key = ("managed", asks.file, on)
            have = [t for t in waiter.moment.once(key, lambda: _between(waiter, asks.file, on)) if t != waiter.tid]
        if have:
            return waiter.link(Via.LOCK, what, have, told=True)
        end = waiter.end(End.PEER, f"{ELSEWHERE} ({check_tree(waiter)})")
        return waiter.outside(Via.LOCK, what, Confidence.INFERRED, end)


def _between(waiter: Waiter, file: str, on: str) -> list[Node]:
    """Threads in that file that have taken what is called so there, and have yet to give it back."""
    found: list[Node] = []
    for tid in waiter.moment.runs:
        for frame in waiter.moment.look(tid).own:
            taken = frame.file == file and waiter.world.file(file).has_taken(frame.function, frame.line, on)
            if taken and not _another(waiter, tid, frame, on):
                found.append(tid)
                break
    return found


def _another(waiter: Waiter, tid: Node, frame: Frame, on: str) -> bool:
    """Whether what is called so in that function was read, and is no lock of a Manager."""
    read = [h for h in waiter.moment.runs[tid].holds if h.site.expression == on and h.site.function == frame.function]
    return bool(read) and all(h.kind != LENT_KIND for h in read)


KIND = Managed()

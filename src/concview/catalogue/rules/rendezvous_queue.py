"""Both sides of a queue with room for one wait for each other.

What it sees:
    A queue with maxsize 1 at which those who put and those who take both wait for much of their time, by turns.

Why it hurts:
    With room for one, each side waits for every slow moment of the other, and the two add up instead of evening out.
    Each item also costs a hand-over from thread to thread: ten times as much as through a queue with some room
    [M: 17.5 µs an item against 1.7 µs with room for 64].

How it is measured:
    For each side, the share of their time in which its threads wait at this queue (read from the target's memory: which
    queue, and its maxsize); what counts is the side that waits less, on the lower end of the 95 % interval. Thresholds
    0.2 and 0.5 [H]: demo pair 0.31 to 0.37, of 0.44 to 0.46 (bad), not observed (fixed: room for 256).

Fix:
    A small buffer: as many items as come in one slow moment of the other side.

        items = queue.Queue(maxsize=64)      # still bounded: a lasting difference in speed is still felt

When it is fine:
    Only one side waits: that is back-pressure, and the other side is the one to look at. Or only the latest value
    counts, and the queue is meant as a mailbox.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar

from concview.analysis.queues import QueueWindow
from concview.analysis.statistics import lower_share
from concview.analysis.window import Slice, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _queues
from concview.model import Confidence, Frame, Stack
from concview.text import percent

#: Room for so many items is a rendezvous.
MOST = 1
#: Suggested size: at least this, and no more than the larger of this and one second of items.
ROOM = 64


class RendezvousQueue:
    id: ClassVar[str] = "rendezvous-queue"
    title: ClassVar[str] = "Both sides of a queue wait for each other"
    group: ClassVar[str] = "Work distribution"
    thresholds: ClassVar[Thresholds] = Thresholds(0.2, 0.5, "share of time", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("stacks", "waits", "locks", "queues")
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "time that the side which waits less waits at the queue"
    task_twin: ClassVar[str] = ""

    def observe(self, window: Window) -> Iterable[Observation]:
        for queue in window.queues:
            if 0 < queue.last.most <= MOST:
                putting = _queues.waits(window, queue, _queues.PUT)
                getting = _queues.waits(window, queue, _queues.GET)
                if putting and getting:
                    yield _one(window, queue, putting, getting)


def _one(
    window: Window, queue: QueueWindow, putting: dict[int, list[Slice]], getting: dict[int, list[Slice]]
) -> Observation:
    sides = {"put": _waits(window, putting), "get": _waits(window, getting)}
    value, episodes = min(sides.values())
    name = _queues.name_of(queue)
    put_stack = _heaviest(putting)
    get_stack = _heaviest(getting)
    rate = queue.put_rate
    passing = f", {rate:.0f} items a second pass" if rate else ""
    return Observation(
        subject=queue.key,
        value=value,
        lower=lower_share(value, window.samples, episodes),
        samples=window.samples,
        episodes=episodes,
        confidence=Confidence.EXACT,
        label=name,
        title=f"Both sides of {name} wait for each other",
        summary=(
            f"{name} has room for one item: {evidence.who(window, tuple(putting))} waits {percent(sides['put'][0])} of "
            f"the time to put one ({evidence.frame_spot(_caller(put_stack))}), and "
            f"{evidence.who(window, tuple(getting))} {percent(sides['get'][0])} to get one "
            f"({evidence.frame_spot(_caller(get_stack))}){passing}."
        ),
        fix=(
            "Give it some room, so that a slow moment of one side does not stop the other.\n\n"
            f"    {queue.last.name or 'items'} = queue.{queue.last.kind}(maxsize={ROOM})      # still bounded"
        ),
        gain=_gain(sides["put"][0], sides["get"][0]),
        check_next="How many items come in the longest slow moment of either side? That is the room it needs.",
        where=evidence.places(put_stack, get_stack),
        threads=(*putting, *(t for t in getting if t not in putting)),
        stacks=tuple(
            one
            for role, side, stack in (("puts", putting, put_stack), ("gets", getting, get_stack))
            for tid in list(side)[:1]
            for one in evidence.shown(role, tid, window.name(tid), stack)
        ),
    )


def _waits(window: Window, side: dict[int, list[Slice]]) -> tuple[float, int]:
    """(share of the threads' time spent waiting, how often they began to)."""
    lived = sum(t.end_ns - max(t.start_ns, t.history.seen_ns) for t in window.threads if t.tid in side)
    waited = sum(p.ns for slices in side.values() for p in slices)
    episodes = sum(1 + sum(a.end_ns < b.start_ns for a, b in pairwise(p)) for p in side.values())
    return min(1.0, waited / max(1, lived)), episodes


def _heaviest(side: dict[int, list[Slice]]) -> Stack | None:
    return evidence.heaviest((p.run.stack, p.ns) for slices in side.values() for p in slices)


def _caller(stack: Stack | None) -> Frame | None:
    call = _queues.call_of(stack) if stack is not None else None
    return call.caller if call is not None else stack.user_leaf if stack is not None else None


def _gain(put: float, get: float) -> str:
    """While one side waits the other works, and never both at once: with enough room the slower one sets the pace."""
    busy = max(1 - put, 1 - get)
    if busy <= 0:
        return ""
    return (
        f"Up to {1 / busy:.1f} x the items: the side that waits less still works only {percent(busy)} of the time. So "
        "much if the slow moments of the two sides are independent, and nothing else limits them."
    )


RULE = RendezvousQueue()

"""An asyncio.Queue without a bound takes in more than is taken out.

What it sees:
    An asyncio.Queue (or LifoQueue, PriorityQueue) made without a maxsize that holds ever more items, whether or not
    anybody waits at it.

Why it hurts:
    put() on it never waits, so nothing slows the producer down. Every item waits longer than the one before, and all
    that wait take memory; it ends when memory does, or when the answers come too late to be of use.

How it is measured:
    Its items and the counters of its deque (every put and get), read twice a second. It must hold 100 items at least,
    and more in every quarter of the last 20 s (at least six) than in the one before. What counts is how much more goes
    in than comes out, as a share of what comes out: that is how fast the wait of an item grows. Thresholds 0.02 and 0.1
    [D], those of unbounded-queue: demo pair 3 (bad), not observed (fixed: it has a bound). Queues are found in the
    variables of tasks' frames and the attributes of their `self`.

Fix:
    Give it a bound: put() then waits, and whoever sends the work is slowed down.

        jobs = asyncio.Queue(maxsize=100)
        await jobs.put(job)                  # or put_nowait and refuse on QueueFull

When it is fine:
    A batch: everything is put in once, then worked off, and it fits into memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.tasks import words
from concview.analysis.tasks.window import AioWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.model import AsyncObject, Confidence, Stack, StackEvidence
from concview.text import count, duration

ENOUGH_NS = 6_000_000_000
MIN_ITEMS = 100
_QUARTERS = 4
#: The value where nothing at all is taken out.
_NOTHING_OUT = 10.0


class AsyncUnboundedQueue:
    id: ClassVar[str] = "async-unbounded-queue"
    title: ClassVar[str] = "A queue of tasks without a bound grows"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(
        0.02, 0.1, "x what is taken out", "[D] the wait of an item grows at this rate"
    )
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "how much more goes in than comes out"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        told: dict[int, list[tuple[int, AsyncObject]]] = {}
        for report in aio.history.objects:  # longer than the window: 20 s
            for id_, one in report.objects.items():
                if "Queue" in one.told.kind and one.told.limit == 0 and one.told.used >= 0:
                    told.setdefault(id_, []).append((report.at_ns, one.told))
        for points in told.values():
            if points[-1][1].used >= MIN_ITEMS:
                found = self._one(window, aio, points)
                if found is not None:
                    yield found

    def _one(self, window: Window, aio: AioWindow, points: list[tuple[int, AsyncObject]]) -> Observation | None:
        span = points[-1][0] - points[0][0]
        if len(points) < 2 * _QUARTERS or not _rises([q.used for _, q in points]):
            return None
        seconds = span / 1e9
        first, last = points[0][1], points[-1][1]
        grown = (last.used - first.used) / seconds
        if grown <= 0:
            return None
        taken = (last.gets - first.gets) / seconds if last.gets >= first.gets >= 0 else -1.0
        value = (
            min(_NOTHING_OUT, grown / taken) if taken > 0 else _NOTHING_OUT if taken == 0 else 60 * grown / last.used
        )
        told = aio.history.object(last.id)
        name = words.object_name(told, last.kind, last.id)
        users = [t for t in last.users if t in aio.history.tasks]
        said = (
            f"{count(last.used)} items in {name} ({last.kind}, no bound), {grown:.0f} more every second over the last "
        )
        said += duration(seconds)
        if taken >= 0:
            said += f": {taken + grown:.0f} a second go in, {taken:.0f} come out"
            if taken > 0:
                said += f"; one put in now waits {duration(last.used / taken)}"
        said += f". {_use(aio, users)}" if users else ""
        stacks, best = _stacks(aio, users)
        place = told.place if told is not None else None
        where = evidence.places(*best)
        return Observation(
            subject=f"queue {last.id:#x}",
            value=value,
            lower=value,
            samples=len(points),
            episodes=len(points),
            confidence=Confidence.EXACT,
            label=name,
            title=f"{name} grows without a bound: {count(last.used)} items",
            summary=said if said.endswith(".") else said + ".",
            fix=(
                "Give it a bound: put() then waits, and whoever sends the work is slowed down.\n\n"
                f"    {name} = asyncio.{last.kind}(maxsize=100)\n"
                f"    await {name}.put(item)               # or put_nowait and refuse on QueueFull"
            ),
            gain=(
                f"At {taken:.0f} items a second out, a bound of {count(max(1.0, taken))} keeps the wait of every item "
                "below a second (Little's law)."
                if taken > 0
                else "A bound of n items bounds the memory."
            ),
            check_next=(
                "What does the consumer wait for between two items? More of them, if the other side can take it."
                if taken
                else "Nobody takes anything out: does the consumer still run?"
            ),
            where=where or ((evidence.at(place),) if place is not None else ()),
            tasks=tuple(users),
            stacks=stacks,
            needs="" if span >= ENOUGH_NS else f"{ENOUGH_NS / 1e9:g} s of the queue (has {seconds:.0f})",
        )


def _rises(sizes: list[int]) -> bool:
    """Whether every quarter holds more than the one before."""
    means = []
    for n in range(_QUARTERS):
        part = sizes[len(sizes) * n // _QUARTERS : len(sizes) * (n + 1) // _QUARTERS]
        means.append(sum(part) / len(part))
    return all(b > a for a, b in itertools.pairwise(means))


def _use(aio: AioWindow, users: list[int]) -> str:
    """What those who have it in their frames mostly do."""
    told = []
    for id_ in users[:3]:
        window = aio.tasks.get(id_)
        if window is not None and window.slices:
            longest = max(window.slices, key=lambda s: s.ns)
            told.append(f"{aio.name(id_)} is mostly {_aio.doing(longest.run)}")
    return f"Used by {_aio.who(aio, users)}: {', '.join(told)}" if told else ""


def _stacks(aio: AioWindow, users: list[int]) -> tuple[tuple[StackEvidence, ...], list[Stack]]:
    out: tuple[StackEvidence, ...] = ()
    best = []
    for id_ in users[:3]:
        window = aio.tasks.get(id_)
        stack = evidence.heaviest((s.run.stack, s.ns) for s in window.slices) if window is not None else None
        if stack is not None:
            best.append(stack)
            out += _aio.shown("user", aio, id_, stack, "has the queue in its frames")
    return out, best


RULE = AsyncUnboundedQueue()

"""A batch of tasks waits most of its time for the last one.

What it sees:
    gather, wait or a TaskGroup over several tasks, again and again, that is left with one of them for most of the time
    while all the others are done.

Why it hurts:
    A batch takes as long as its slowest part, and the next one begins no sooner: one slow key, shard or peer decides
    the throughput of all.

How it is measured:
    Rounds of a task that waits for four others or more, from the first look at which all were there to the end. The
    value is the share of the rounds' time in which one of them (of twenty and more: 5 %) was left; the mean over at
    least two rounds that ended, less its standard error. Rounds shorter than 50 ms are left out. Thresholds 0.5 and
    0.7 [H]: equal tasks of random (exponential) length come to 0.3 for twenty of them [D]; demo pair 0.95 (bad), 0.1
    (fixed).

Fix:
    Do not wait for all before going on: take results as they come, and let the next batch begin.

        for done in asyncio.as_completed(requests): use(await done)
        # or workers that take from a queue, so that a slow one holds up itself only

    And give the slow part a time limit, or ask twice (hedging).

When it is fine:
    The slow part is what the others wait for by nature, and there is nothing else to do meanwhile.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from concview.analysis.tasks.window import AioWindow, TaskSlice, TaskWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.model import Confidence, Stack, TaskState
from concview.text import duration, percent

MIN_CHILDREN, MIN_ROUNDS, SHORTEST_NS = 4, 2, 50_000_000
#: Of so many children one is left; of more, this part.
LEFT = 0.05
#: Of the window, rounds must take so much.
MIN_SHARE = 0.3


@dataclass(slots=True)
class _Round:
    children: int
    slices: list[TaskSlice] = field(default_factory=list)
    ended: bool = False

    @property
    def ns(self) -> int:
        return sum(s.ns for s in self.slices)

    @property
    def tail_ns(self) -> int:
        left = max(1, int(self.children * LEFT))
        return sum(s.ns for s in self.slices if 0 < s.run.awaited <= left)


class AsyncStraggler:
    id: ClassVar[str] = "async-straggler"
    title: ClassVar[str] = "A batch waits for its last task"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.5, 0.7, "share of a round", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "share of a round in which the last task is left"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        for task in list(aio.tasks.values()):
            if task.ns[TaskState.TASK] >= MIN_SHARE * aio.span_ns:
                rounds = [r for r in _rounds(task) if r.children >= MIN_CHILDREN and r.ns >= SHORTEST_NS]
                if rounds and sum(r.ns for r in rounds) >= MIN_SHARE * aio.span_ns:
                    tail = sum(r.tail_ns for r in rounds) / sum(r.ns for r in rounds)
                    if tail >= self.thresholds.info or any(r.ended for r in rounds):
                        yield self._one(aio, task, rounds)

    def _one(self, aio: AioWindow, task: TaskWindow, rounds: list[_Round]) -> Observation:
        ended = [r for r in rounds if r.ended]
        shares = [r.tail_ns / r.ns for r in ended]
        mean = sum(r.tail_ns for r in rounds) / sum(r.ns for r in rounds)
        lower = mean
        if len(shares) > 1:
            average = sum(shares) / len(shares)
            spread = math.sqrt(sum((s - average) ** 2 for s in shares) / (len(shares) - 1) / len(shares))
            lower = max(0.0, min(mean, average) - spread)
        last, slow = _last(aio, rounds)
        name, function, children = task.task.name, task.task.function, max(r.children for r in rounds)
        longest = evidence.heaviest((s.run.stack, s.ns) for r in rounds for s in r.slices)
        via = Counter(s.run.wait.via for r in rounds for s in r.slices).most_common(1)[0][0]
        run = slow.run if slow is not None else None
        leaf = run.stack.user_leaf if run is not None else None
        summary = (
            f"{name} waits for {children} tasks at a time ({via}, "
            f"{evidence.frame_spot(longest.user_leaf if longest is not None else None)}); {percent(mean)} of a round "
            f"of {duration(sum(r.ns for r in rounds) / len(rounds) / 1e9)} one of them is left"
        )
        if run is not None:
            summary += f", {_aio.doing(run)} in {evidence.frame_spot(leaf)}"
        return Observation(
            subject=f"task {function.file}:{function.line}" if function is not None else f"task {name}",
            value=mean,
            lower=lower,
            samples=_aio.looks_in(aio, sum(r.ns for r in rounds)),
            episodes=len(ended),
            confidence=Confidence.EXACT,
            label=name,
            title=f"1 of {children} tasks takes {percent(mean)} of the batch's time",
            summary=summary + ".",
            gain=f"A round could end after {percent(1 - mean)} of its time, as fast as all the others.",
            check_next=f"Why is {evidence.frame_spot(leaf)} slower for that one than for the others?",
            where=evidence.places(run.stack if run is not None else None, longest),
            tasks=(task.task.id, *last),
            stacks=(_aio.shown("last", aio, last[0], run.stack, _aio.doing(run)) if last and run is not None else ())
            + _aio.shown("waiter", aio, task.task.id, longest, "waits for all of them"),
            needs=""
            if len(ended) >= MIN_ROUNDS or mean < self.thresholds.info
            else f"at least {MIN_ROUNDS} rounds (has {len(ended)})",
        )


def _rounds(task: TaskWindow) -> list[_Round]:
    """Its waits for several tasks, each from beginning to end. Of one whose beginning no look saw, the others at the
    same place tell how many there were."""
    found: list[_Round] = []
    before = 0
    most: dict[Stack, int] = defaultdict(int)
    for piece in task.slices:
        run = piece.run
        if run.wait.state is not TaskState.TASK or not run.awaited:
            before = 0
            if found:
                found[-1].ended = True
            continue
        most[run.stack] = max(most[run.stack], run.awaited)
        if not before or run.awaited > before or run.waits:
            if found:
                found[-1].ended = True
            found.append(_Round(run.awaited))
        found[-1].slices.append(piece)
        before = run.awaited
    for one in found:
        one.children = max(one.children, most[one.slices[0].run.stack])
    return found


def _last(aio: AioWindow, rounds: list[_Round]) -> tuple[list[int], TaskSlice | None]:
    """(the tasks that were left, what one of them did longest meanwhile)."""
    left: dict[int, int] = {}
    for one in rounds:
        for piece in one.slices:
            if 0 < piece.run.awaited <= max(1, int(one.children * LEFT)):
                for id_ in piece.run.awaits:
                    left[id_] = left.get(id_, 0) + piece.ns
    order = sorted(left, key=lambda t: -left[t])
    seen = [s for t in order if t in aio.tasks for s in aio.tasks[t].slices]
    return order[:5], max(seen, key=lambda s: s.ns, default=None)


RULE = AsyncStraggler()

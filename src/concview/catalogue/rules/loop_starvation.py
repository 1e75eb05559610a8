"""The event loop never idles, so whatever becomes ready waits for its turn.

What it sees:
    A loop that is in callbacks nearly all the time, with callbacks that are due and wait in its queue: one coroutine
    that computes in slices, or simply more work than one thread can do.

Why it hurts:
    Every await costs the length of the queue: timers are late, answers are late, heartbeats are missed; and no single
    step is long enough for asyncio's own debug mode to complain. A second CPU does not help: a loop has one thread.

How it is measured:
    How long a callback that is due waits until it runs, told from the counters of the loop's ready queue, which is
    first in, first out: the 95 % point of each half second, of these the median, and only of a loop that is in
    callbacks for 70 % of the time and late in most half seconds. Thresholds 10 ms and 20 ms [H]: on the demo pair
    40 ms (bad), 0 ms (fixed). It is a warning where one task has the loop for half of the time; where many share it,
    the loop has more work than it can do, and that is INFO. Of the wait only the part counts that the loop's
    thread computed, and did not wait for a CPU or the GIL; with less than 30 % it is not judged: others are in the way.

Fix:
    Give what computes to a process; or cut it into slices of a millisecond and let the loop idle in between.

        result = await loop.run_in_executor(processes, crunch, part)     # ProcessPoolExecutor

    Where the work is many small requests: another process with a loop of its own (uvicorn --workers).

When it is fine:
    A batch job that has the loop for itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.tasks.window import AioWindow, LoopWindow
from concview.analysis.window import ThreadWindow, Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.model import Confidence, Stack, State, TaskState
from concview.text import duration, percent, plural

BUSY, DELAYED, DOMINANT = 0.7, 0.5, 0.5
#: Its thread computes, or wants to, for this share of the time; and gets this part of the CPU that it wants.
COMPUTES, GETS = 0.5, 0.3
#: Half seconds that must have been seen.
LEAST_REPORTS = 4


class LoopStarvation:
    id: ClassVar[str] = "loop-starvation"
    title: ClassVar[str] = "The event loop never idles"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.01, 0.02, "s", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "wait of a callback that is due (95 %)"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        for loop in aio.loops.values():
            if loop.busy < BUSY or loop.delayed < DELAYED or len(loop.reports) < LEAST_REPORTS:
                continue
            thread = window.thread(loop.last.tid)
            gets = 1.0
            if thread is not None:
                own, other = thread.share(State.RUNNING), thread.share(State.RUNNABLE) + thread.share(State.GIL)
                if own + other < COMPUTES:
                    continue  # it waits inside a callback: blocked-event-loop
                gets = own / max(1e-9, own + other)
            yield self._one(aio, loop, thread, gets)

    def _one(self, aio: AioWindow, loop: LoopWindow, thread: ThreadWindow | None, gets: float) -> Observation:
        """`gets`: the part of the CPU that its thread wants and has."""
        top = max(loop.tops, key=loop.tops.__getitem__, default=0)
        part = loop.tops.get(top, 0.0)
        stack, own = _busiest(thread)
        leaf = stack.user_leaf if stack is not None else None
        single = part >= DOMINANT
        late = [t for t in aio.tasks.values() if t.ns[TaskState.READY]]
        mean = sum(t.ns[TaskState.READY] for t in late) / aio.span_ns
        who = aio.name(top) if single else "many short steps"
        name = thread.name if thread is not None else f"thread {loop.last.tid}"
        summary = (
            f"The loop in {name} is in callbacks {percent(loop.busy)} of the time; a callback that is due waits "
            f"{duration(loop.p95_s)} (95 %; median {duration(max(0.0, loop.p50_s))}, at most {duration(loop.max_s)}) "
            f"until it runs, and {mean:.1f} tasks are ready and wait for it on average"
        )
        if single:
            summary += f". {who} has it for {percent(part)} of the time, in {evidence.frame_spot(leaf)}"
        elif leaf is not None:
            summary += f". Most of its time ({percent(own)}) is spent in {evidence.frame_spot(leaf)}"
        where = evidence.places(stack)
        return Observation(
            subject=f"loop {loop.last.id:#x}",
            value=loop.p95_s * gets,
            lower=loop.p95_s * gets,
            samples=sum(s.looks for s in loop.reports),
            episodes=len(loop.reports),
            confidence=Confidence.EXACT,
            label=name,
            title=f"The event loop never idles: {who} {'has' if single else 'have'} it, the others wait "
            f"{duration(loop.p95_s)}",
            summary=summary + ".",
            gain=f"{plural(len(late), 'task')} are late by up to {duration(loop.p95_s)} at every await.",
            check_next=f"How long does one step of {evidence.frame_spot(leaf)} take, and must it be in the loop?",
            where=where,
            threads=(loop.last.tid,) if loop.last.tid else (),
            tasks=(*((top,) if single else ()), *sorted(t.task.id for t in late)[:20]),
            stacks=evidence.shown("runs", loop.last.tid, name, stack, f"{percent(own)} of the loop's time"),
            severity_cap="" if single else "info",
            needs=""
            if gets >= GETS
            else f"a CPU for the loop (it has {percent(gets)} of what it wants): cpu-starvation",
        )


def _busiest(thread: ThreadWindow | None) -> tuple[Stack | None, float]:
    """The line of the program's own in which the loop's thread computes most, and its share of the time."""
    if thread is None:
        return None, 0.0
    per: dict[tuple[str, str], dict[Stack, int]] = defaultdict(lambda: defaultdict(int))
    for profile in thread.wait_profiles:
        leaf = profile.stack.user_leaf
        if profile.state in (State.RUNNING, State.RUNNABLE) and leaf is not None and leaf.origin != "stdlib":
            per[leaf.file, leaf.function][profile.stack] += profile.ns
    if not per:
        return None, 0.0
    most = max(per.values(), key=lambda s: sum(s.values()))
    return max(most, key=most.__getitem__), sum(most.values()) / max(1, thread.end_ns - thread.start_ns)


RULE = LoopStarvation()

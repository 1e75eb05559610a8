"""Callbacks of an event loop are due, and the loop sleeps: nobody has woken it.

What it sees:
    A loop's ready queue with something in it while the loop's thread waits for events: another thread has set an event
    or a future, put something into an asyncio.Queue or called `call_soon`, none of which wakes the loop.

Why it hurts:
    What became ready runs when something else wakes the loop: the next timer, the next byte on a socket. In a test with
    traffic nobody notices; at night it takes a second, or for ever. And objects of asyncio are not made for two
    threads: the same call can also be lost.

How it is measured:
    At each look (up to fifty a second) the length and the counters of the loop's ready queue are read, and where the
    loop's thread stands. A look that finds callbacks due, nothing run since the look before, and the thread waiting for
    events, counts for its time. One that has been woken stands there, too, until it gets the GIL and a CPU: so of that
    only what the thread must have slept meanwhile counts, by its state in the samples (both shares together, less the
    whole). Thresholds 10 % and 30 % [H]: demo pair 90 % (bad), 0 % (fixed).

Fix:
    From any other thread, let the loop do it: that wakes it.

        loop.call_soon_threadsafe(event.set)
        asyncio.run_coroutine_threadsafe(queue.put(item), loop)

When it is fine:
    Where a timer wakes the loop every few milliseconds anyway. The call from another thread remains a mistake.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.tasks.window import AioWindow, LoopWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.model import Confidence, State, TaskState
from concview.text import duration, listed, percent

LEAST_REPORTS = 4


class LoopNotWoken:
    id: ClassVar[str] = "loop-not-woken"
    title: ClassVar[str] = "Callbacks are due, and the event loop sleeps"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.1, 0.3, "share", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = True
    measure: ClassVar[str] = "time in which callbacks were due and the loop slept"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        for loop in aio.loops.values():
            thread = window.thread(loop.last.tid)
            asleep = loop.asleep + thread.share(State.IDLE) - 1 if thread is not None else 0.0
            if asleep > 0 and len(loop.reports) >= LEAST_REPORTS:
                yield self._one(window, aio, loop, asleep)

    def _one(self, window: Window, aio: AioWindow, loop: LoopWindow, asleep: float) -> Observation:
        """`asleep`: share of the time in which callbacks were due and the thread slept, at least."""
        tid = loop.last.tid
        name = window.name(tid)
        ready = [(t, r) for t in aio.tasks.values() for r in list(t.task.runs)[-20:] if r.state is TaskState.READY]
        late = {t.task.id: r for t, r in ready}
        leaf = next((r.leaf for r in late.values() if r.leaf is not None), None)
        others = listed([t.name for t in window.threads if t.tid != tid], 4)
        summary = (
            f"The loop in {name} waited for events while callbacks were due, for {percent(asleep)} of the time; a "
            f"callback waited for up to {duration(loop.max_s)} until it ran"
        )
        if leaf is not None:
            summary += f". Ready, and not run, were tasks in {evidence.frame_spot(leaf)}"
        summary += ". Another thread made them ready in a way that does not wake the loop."
        return Observation(
            subject=f"loop {loop.last.id:#x}",
            value=asleep,
            lower=asleep,
            samples=sum(s.looks for s in loop.reports),
            episodes=sum(s.asleep > 0 for s in loop.reports),
            confidence=Confidence.EXACT,
            label=name,
            title=f"Callbacks are due, and the loop in {name} sleeps: nobody wakes it",
            summary=summary,
            gain=f"What is due would run at once, and not up to {duration(loop.max_s)} later.",
            check_next=(
                "PYTHONASYNCIODEBUG=1 raises an error at the call that is made from the wrong thread."
                + (f" The other threads are {others}." if others else "")
            ),
            where=evidence.places(*(r.stack for r in list(late.values())[:2])),
            threads=(tid,) if tid else (),
            tasks=tuple(list(late)[:20]),
            stacks=tuple(
                s for id_, r in list(late.items())[:2] for s in _aio.shown("waiter", aio, id_, r.stack, "ready")
            ),
            explains=(("loop-starvation", "*"), ("async-straggler", "*")),
        )


RULE = LoopNotWoken()

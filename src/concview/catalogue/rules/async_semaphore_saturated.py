"""All permits of an asyncio semaphore are taken, all the time: its limit is the program's throughput.

What it sees:
    Tasks that wait for a Semaphore of asyncio, anyio or trio with two permits or more, all of which are taken.

Why it hurts:
    No more tasks make progress than there are permits. That may be intended (be polite to the other side), or a number
    that somebody once typed.

How it is measured:
    The mean number of tasks that wait for it, on the lower end of the 95 % interval. Holders are read from the
    coroutines' frames, its limit is their number and what is free. Threshold 1 task [H]: demo pair 195 (bad), 0
    (fixed). It is INFO whatever the number: only the other side can tell what is right.

Fix:
    Measure what the service can take, and set the limit to that; keep only in the section what needs the permit.

        permits = asyncio.Semaphore(50)
        async with permits: page = await fetch(url)
        index(page)                           # needs none

When it is fine:
    The limit is a choice, and the work is allowed to take this long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.tasks import words
from concview.analysis.tasks.window import AioWindow, ObjectWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.text import percent, plural


class AsyncSemaphoreSaturated:
    id: ClassVar[str] = "async-semaphore-saturated"
    title: ClassVar[str] = "A semaphore is the limit"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(1.0, 1.0, "tasks", "[H] a crowd of one, all the time")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of tasks that wait for a permit"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        for one in aio.objects.values():
            if one.kind == "Semaphore" and one.limit != 1 and one.waiters:
                yield self._one(aio, one)

    def _one(self, aio: AioWindow, one: ObjectWindow) -> Observation:
        measured = _aio.queued(aio, one, "semaphore", 30, 1)
        name, mean, used = measured.label, measured.value, words.usage(one.usual)
        waiters = _aio.by_time(one.waiters)
        what, part = _aio.holders_do(one)
        summary = _aio.waiting(aio, waiters, mean, f"for {name} in {_aio.spot_of(one)}")
        summary += f"; {used}" if used else ""
        summary += f", and those inside are mostly {what} ({percent(part)} of that time)" if what else ""
        ended = one.waits
        rate = f" Some {ended / aio.seconds:.0f} a second get in." if ended > len(one.waiters) else ""
        held = one.hold_run
        if measured.lasting and not one.holders and (one.told is None or not one.told.told.holders):
            return replace(
                measured,
                title=f"{plural(_aio.crowd(waiters, mean), 'task queues', 'tasks queue')} for {name}, "
                "and none is seen to have it",
                summary=f"{summary}. No permit is free, and no task is inside a block that would give one back: "
                "taken by one method and given back by another, kept in a variable, or never given back.",
                fix=f"Give each permit back on every way out.\n\n    async with {name}: ...   # also on failure",
                check_next=f"Where is {name} released, and what happens in between?",
                severity_cap="info",
            )
        return replace(
            measured,
            title=f"{plural(_aio.crowd(waiters, mean), 'task queues', 'tasks queue')} for {name}"
            + (f": {used}" if used else ""),
            summary=f"{summary}.{rate}",
            gain=f"With {one.limit} permits, throughput is {one.limit} over the time inside; twice as many permits, "
            "twice the throughput, as long as the other side is as fast."
            if one.limit > 0
            else "",
            check_next=f"Is the number of permits of {name} a choice? "
            f"{evidence.frame_spot(held[0].stack.user_leaf) if held is not None else 'The section'} takes the time.",
            severity_cap="info",
        )


RULE = AsyncSemaphoreSaturated()

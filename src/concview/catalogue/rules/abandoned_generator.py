"""An asynchronous generator that nobody iterates keeps something that tasks wait for.

What it sees:
    Tasks wait for a lock, permit or connection that an asynchronous generator has: it stands at a `yield` inside an
    `async with`, and no task iterates it, waits inside it, or has it as the context manager of a block.

Why it hurts:
    Who leaves an `async for` by break, return or an exception does not close the generator. Its `finally` and its
    `async with` run only when somebody calls `aclose`, or when it is collected: later, in another task, or never where
    something still refers to it, a traceback for one. So long everybody else waits.

How it is measured:
    While it is waited for: the mean number of tasks that wait, on the lower end of the 95 % interval. Generators are
    found by the weak references that their loop keeps, and what they have in their own frames. Those that have waited
    for 5 s without a break are counted. Thresholds 0.3 and 1 [H]: on the demo pair 4 (bad), none (fixed).

Fix:
    Close it where it is left.

        async with contextlib.aclosing(rows()) as found:      # Python 3.10 and newer
            async for row in found: ...

    Or take and give back around the loop, and let the generator only pass on what it is given.

When it is fine:
    Never for long: what it has is not used any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from concview.analysis.tasks.window import AioWindow, ObjectWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.text import listed, plural


class AbandonedGenerator:
    id: ClassVar[str] = "abandoned-generator"
    title: ClassVar[str] = "A generator that nobody iterates keeps what others wait for"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.3, 1.0, "tasks", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of tasks that wait for it"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        for one in aio.objects.values():
            alone = _aio.generators(aio, one) if one.waiters else []
            if alone:
                yield self._one(aio, one, alone)

    def _one(self, aio: AioWindow, one: ObjectWindow, alone: list[int]) -> Observation:
        measured = _aio.queued(aio, one, "kept", 20, 2)
        waiters = _aio.by_time(one.waiters)
        first = aio.history.find(alone[0])
        run = first.current if first is not None else None
        leaf = run.leaf if run is not None else None
        names = listed(list(dict.fromkeys(t.name for i in alone if (t := aio.history.find(i)) is not None)), 3)
        spot, many = evidence.frame_spot(leaf), len(alone) > 1
        has = "have" if many else "has"
        summary = (
            _aio.waiting(aio, waiters, measured.value, f"for {measured.label} in {_aio.spot_of(one)}")
            + f". {plural(len(alone), 'asynchronous generator')} {has} it: {names}, at the yield in "
            f"{spot}, and no task iterates {'them' if many else 'it'}"
        )
        summary += _aio.unmoved(aio, one, measured.lasting)
        return replace(
            measured,
            title=f"{measured.label} is kept by a generator that nobody iterates: "
            f"{plural(_aio.crowd(waiters, measured.value), 'task waits', 'tasks wait')} for it",
            summary=summary + ".",
            gain=f"What waits for {measured.label} goes on as soon as its user has what it wanted.",
            check_next=f"Who calls {names} and leaves its `async for` by break, return or an exception?",
            explains=(("async-semaphore-saturated", f"semaphore {one.id:#x}"), ("async-pool-exhausted", "*")),
        )


RULE = AbandonedGenerator()

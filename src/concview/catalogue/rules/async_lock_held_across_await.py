"""An asyncio lock is held across an await, so every other task waits for what its holder awaits.

What it sees:
    Tasks wait for a lock of asyncio, anyio or trio whose holder is itself suspended inside the `async with`: it waits
    for a peer, a pool, a call in a thread, other tasks, or sleeps.

Why it hurts:
    The lock turns one task's waiting into everybody's. However many requests there are, one at a time gets on:
    throughput is one over the latency of the other side, and one slow answer stops them all.

How it is measured:
    While it is waited for: the mean number of tasks that wait, on the lower end of the 95 % interval, where its holders
    spend at least half of the held time suspended. Holders are read from the coroutines' frames. Those that have waited
    for 5 s without a break are counted. Thresholds 0.3 and 1 [H]: on the demo pair 15 (bad), no waiters (fixed).

Fix:
    Await outside the lock; take it only to look and to store.

        async with lock: row = rows.get(key)
        if row is None: row = await fetch(key)     # nobody waits for this
        async with lock: rows[key] = row

    To fetch every key only once, keep one task or Future a key and let the others await that.

When it is fine:
    The lock guards the very connection that is awaited, whose protocol takes one request at a time: then more
    connections help, a shorter section does not.
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
from concview.text import percent, plural

#: Holders that are suspended for less of the held time are held up by the loop, not by what they await.
SUSPENDED = 0.5


class AsyncLockHeldAcrossAwait:
    id: ClassVar[str] = "async-lock-held-across-await"
    title: ClassVar[str] = "A lock is held across an await"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.3, 1.0, "tasks", "[H] calibrated on the demo pair")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of tasks that wait for it"

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        for one in aio.objects.values():
            single = one.kind == "Lock" or (one.kind == "Semaphore" and one.limit == 1)
            if single and one.waiters and one.held_ns and not _aio.generators(aio, one):
                suspended = sum(ns for state, ns in one.doing.items() if state in _aio.ASIDE) / one.held_ns
                if suspended >= SUSPENDED:
                    yield self._one(aio, one)

    def _one(self, aio: AioWindow, one: ObjectWindow) -> Observation:
        measured = _aio.queued(aio, one, "lock", 50, 2)
        name, mean, stuck = measured.label, measured.value, measured.lasting
        waiters, holders = _aio.by_time(one.waiters), _aio.by_time(one.holders)
        what, part = _aio.holders_do(one)
        run = one.hold_run
        leaf = run[0].stack.user_leaf if run is not None else None
        summary = (
            f"{_aio.waiting(aio, waiters, mean, f'for {name} in {_aio.spot_of(one)}')}, while "
            f"{_aio.who(aio, holders)} {'holds it' if len(holders) == 1 else 'hold it in turn'}, {what} for "
            f"{percent(part)} of the time, at {evidence.frame_spot(leaf)}"
        )
        summary += _aio.unmoved(aio, one, stuck)
        return replace(
            measured,
            title=f"{name} is held across an await: "
            f"{plural(_aio.crowd(waiters, mean), 'task waits', 'tasks wait')} for it",
            summary=summary + ".",
            fix=_fix(name),
            gain=(
                f"Of those that want {name} one proceeds at a time; outside it they wait for the other side together, "
                "if it answers several at once as fast as one."
            ),
            check_next=f"Is everything between taking and releasing {name} needed under it? Start at "
            f"{evidence.frame_spot(leaf)}.",
            explains=(("async-semaphore-saturated", f"semaphore {one.id:#x}"), ("async-straggler", "*")),
        )


def _fix(name: str) -> str:
    return (
        f"Await outside {name}; take it only to look and to store.\n\n"
        f"    async with {name}: row = rows.get(key)\n"
        f"    if row is None: row = await fetch(key)     # nobody waits for this\n"
        f"    async with {name}: rows[key] = row"
    )


RULE = AsyncLockHeldAcrossAwait()

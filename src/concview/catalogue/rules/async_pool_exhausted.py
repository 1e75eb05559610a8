"""Tasks queue for a connection, or a token of a limiter, because all of them are taken.

What it sees:
    Tasks that wait inside a library's pool (asyncpg, aiohttp, httpx, redis, psycopg, SQLAlchemy, PyMongo), at anyio's
    CapacityLimiter (in which Starlette and FastAPI run their sync endpoints), or in the get() of an asyncio.Queue into
    which the same function puts the same thing back.

Why it hurts:
    No more tasks make progress than the pool has connections, however many requests there are. All others wait for
    whatever those few do while they have one. The loop is idle meanwhile, and no thread waits for anything.

How it is measured:
    The mean number of tasks that wait at one pool, on the lower end of the 95 % interval; those that have waited for
    5 s without a break are counted. Limit and use are the pool's own attributes; who has a connection is read from the
    await chains. Thresholds 0.5 and 1.5 [H], those of connection-starvation: on the demo pair 18 (bad) and 0 (fixed).

Fix:
    Take it late, give it back early; then as many connections as are in use at once (Little's law).

        async with pool.acquire() as db: rows = await db.fetch(query)
        page = await render(rows)             # nobody waits for this

    Of a client session: read or release every response (`async with`), for an unread one keeps its connection. Of
    anyio's limiter: make these endpoints `async def` with an async client, or let more of them wait at once:

        anyio.to_thread.current_default_thread_limiter().total_tokens = 100

When it is fine:
    The database or service allows no more connections: then the pool protects it, and the queue belongs where it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from concview.analysis.tasks import words
from concview.analysis.tasks.records import TaskRun
from concview.analysis.tasks.window import AioWindow, ObjectWindow
from concview.analysis.window import Window
from concview.catalogue import evidence
from concview.catalogue.base import Observation, Thresholds
from concview.catalogue.rules import _aio
from concview.model import Concern, Confidence, Site, Stack, TaskState
from concview.text import percent, plural

#: With fewer tasks that wait at all it is no crowd.
MIN_TASKS = 2
#: In most of its reports all that the pool has must be in use: a wait for a connection that is being made is another.
FULL = 0.5
_POOLS = frozenset({"Pool", "Limiter"})


class AsyncPoolExhausted:
    id: ClassVar[str] = "async-pool-exhausted"
    title: ClassVar[str] = "Tasks queue for a connection"
    group: ClassVar[str] = "Async and I/O"
    thresholds: ClassVar[Thresholds] = Thresholds(0.5, 1.5, "tasks", "[H] those of connection-starvation")
    needs: ClassVar[tuple[str, ...]] = ("tasks",)
    permanent: ClassVar[bool] = False
    measure: ClassVar[str] = "mean number of tasks that wait for one"
    concern: ClassVar[Concern] = Concern.GIVER

    def observe(self, window: Window) -> Iterable[Observation]:
        aio = _aio.require_tasks(window)
        for one in aio.objects.values():
            if len(one.waiters) < MIN_TASKS:
                continue
            if one.kind in _POOLS and (one.full < 0 or one.full >= FULL):
                yield self._one(aio, one, None)
            elif "Queue" in one.kind:
                site = lent(one)
                if site is not None or one.holders:
                    yield self._one(aio, one, site)

    def _one(self, aio: AioWindow, one: ObjectWindow, site: Site | None) -> Observation:
        mean, lower, stuck = _aio.lower_waiters(aio, one)
        waiters, pool = _aio.by_time(one.waiters), one.kind in _POOLS
        name = site.expression if site is not None else _aio.name_of(one)
        if site is None or one.holders:
            keepers, (what, part) = _aio.by_time(one.holders), _aio.holders_do(one)
            stacks = _aio.holder_stack(aio, one, "holder")
            kept = one.hold_run[0].stack if one.hold_run is not None else None
        else:
            kept_by, run, part = keep(aio, site)
            keepers = _aio.by_time(kept_by)
            what, kept = (_aio.doing(run), run.stack) if run is not None else ("", None)
            stacks = _aio.shown("holder", aio, keepers[0], kept, what) if keepers else ()
        used = words.usage(one.usual) if pool else ""
        if keepers and not pool:
            used = f"{plural(len(keepers), 'task')} {'has' if len(keepers) == 1 else 'have'} one"
        spot = _aio.spot_of(one)
        summary = _aio.waiting(aio, waiters, mean, f"for {name} in {spot}")
        if used:
            summary += f"; {used}"
        if what:
            summary += f", and whoever has one is mostly {what} ({percent(part)} of that time)"
        elif one.kind in _POOLS:
            summary += (
                ". Nobody's await chain shows who has one: a connection that is kept in a variable, or never "
                "given back, does not show"
            )
        return Observation(
            subject=f"pool {one.id:#x}",
            value=mean,
            lower=lower,
            lasting=stuck,
            samples=max(_aio.looks_in(aio, one.wait_ns), stuck),
            episodes=max(one.waits, stuck),
            confidence=Confidence.EXACT if pool else Confidence.INFERRED,
            label=name,
            title=f"{plural(_aio.crowd(waiters, mean), 'task queues', 'tasks queue')} for {name}"
            + (f": {used}" if used else ""),
            summary=summary + ".",
            gain=_gain(mean, one.limit if pool else len(keepers)),
            check_next=(
                f"Must it be kept at {evidence.frame_spot(kept.user_leaf)}?"
                if kept is not None and kept.user_leaf is not None
                else f"Who takes one in {spot}, and is it returned on every path?"
            ),
            where=evidence.places(one.wait_stack, kept),
            tasks=(*waiters[:50], *(t for t in keepers[:50] if t not in one.waiters)),
            stacks=stacks + _aio.waiter_stacks(aio, one),
            explains=(("async-straggler", "*"), ("async-semaphore-saturated", f"semaphore {one.id:#x}")),
        )


def lent(one: ObjectWindow) -> Site | None:
    """Where something is taken out of a queue that is put back by the same function; None of any other queue."""
    spent: dict[Site, int] = defaultdict(int)
    for stack, ns in one.wait_stacks.items():
        for site in _sites(stack, "get"):
            spent[site] += ns
    most = max(spent, key=spent.__getitem__) if spent else None
    return most if most is not None and spent[most] >= 0.5 * one.wait_ns else None


def keep(aio: AioWindow, site: Site) -> tuple[dict[int, int], TaskRun | None, float]:
    """(tasks that have one -> how long, what they mostly do meanwhile, the part of that time)."""
    kept: dict[int, int] = defaultdict(int)
    doing: dict[TaskState, tuple[int, TaskRun]] = {}
    for id_, window in aio.tasks.items():
        for piece in window.slices:
            if any(s.key == site.key for s in _sites(piece.run.stack, "kept")):
                kept[id_] += piece.ns
                known = doing.get(piece.run.wait.state, (0, piece.run))
                doing[piece.run.wait.state] = known[0] + piece.ns, known[1]
    if not doing:
        return kept, None, 0.0
    ns, run = max(doing.values(), key=lambda d: d[0])
    return kept, run, ns / max(1, sum(kept.values()))


def _sites(stack: Stack, how: str) -> list[Site]:
    return [f.checkout for f in stack.frames if f.checkout is not None and f.checkout.how == how]


def _gain(mean: float, size: int) -> str:
    if size <= 0:
        return ""
    return (
        f"With {size + round(mean)} instead of {size} nobody would wait, if the other side answers more at once as "
        "fast; the same from keeping each for a shorter time."
    )


RULE = AsyncPoolExhausted()
